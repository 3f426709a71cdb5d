/**
 * The GGUF files of a Hugging Face repository, as its list of files names them: size, quantisation, whether the page
 * can run them, and which one fits best.
 */
import { isObject, isText } from '../history';
import { recommend, type Device } from './recommend';

export interface RepoFile {
  /** what `load` takes */
  source: string;
  /** path in the repository; of a model in several parts, that of the first */
  name: string;
  quantization?: string;
  bytes: number;
  parts: number;
  /** why the page cannot run it */
  problem?: string;
}

export interface Repo {
  repo: string;
  /** with '@' before it, where it is not the usual one */
  revision: string;
}

export interface RepoListing {
  files: RepoFile[];
  /** a kind of model that the page does not run */
  foreign?: string;
}

/** `general.architecture` of the models that the library runs */
const RUN_HERE = ['lfm2', 'lfm2moe', 'lfm3'];
const MOST = 200;
const PART = '[A-Za-z0-9][A-Za-z0-9._-]*';
const REPO = new RegExp(`^(${PART}/${PART})(@[^:@?#/\\s]+)?$`);

/**
 * 'Org/Repo' or 'Org/Repo@revision', also as an address of the hub. Undefined where a file or a quantisation is named
 * already, and for other addresses.
 */
export function repoIn(text: string, hub = 'https://huggingface.co'): Repo | undefined {
  const [, repo, revision = ''] =
    REPO.exec(text.startsWith(`${hub}/`) ? text.slice(hub.length + 1).replace(/\/(tree\/main)?\/?$/, '') : text) ?? [];
  return repo && !/\.(gguf|safetensors)$/i.test(repo) ? { repo, revision } : undefined;
}

/** The last part of the name that looks like a quantisation. */
const quantizationOf = (name: string): string | undefined =>
  [
    ...name
      .replace(SHARD, '')
      .matchAll(/(?:^|[-._/])(I?Q\d+(?:_[0-9A-Z]+)*|T?BF16|F16|F32|TQ\d_\d|MXFP4)(?=[-._/]|$)/gi),
  ]
    .at(-1)?.[1]
    .toUpperCase();
const SHARD = /-(\d{5})-of-(\d{5})(?=\.gguf$)/i;
const RUNS = /^(?:F32|F16|BF16|Q4_[01]|Q5_[01]|Q8_0|Q[2-6]_K(?:_[SML])?|IQ3_[SM]|IQ4_NL|IQ4_XS|MXFP4)$/;

/** What the hub answers may be anything. @throws if it is no list of files */
export function listFiles(answer: unknown, { repo, revision }: Repo): RepoListing {
  const { siblings, gguf } = isObject(answer) ? answer : {};
  if (!Array.isArray(siblings)) throw new Error('The answer of the hub is not a list of files.');
  const sizes = new Map<string, number>();
  for (const sibling of siblings) {
    const { rfilename: name, size, lfs } = isObject(sibling) ? sibling : {};
    const bytes = isObject(lfs) && typeof lfs.size === 'number' ? lfs.size : size;
    if (
      isText(name) &&
      /^[^\p{Cc}\p{Cf}]+\.gguf$/iu.test(name) &&
      name.length < 300 &&
      !/mmproj|imatrix|vocab-only/i.test(name) &&
      typeof bytes === 'number' &&
      bytes > 0
    )
      sizes.set(name, bytes);
  }
  const files: RepoFile[] = [];
  for (const [name, bytes] of sizes) {
    const [, part, parts = '1'] = SHARD.exec(name) ?? [];
    if (part && part !== '00001') continue;
    const rest = Array.from({ length: Math.min(Number(parts), 999) - 1 }, (_, i) =>
      sizes.get(name.replace(SHARD, `-${String(i + 2).padStart(5, '0')}-of-${parts}`)),
    );
    const quantization = quantizationOf(name);
    files.push({
      source: `${repo}/${name}${revision}`,
      name,
      ...(quantization && { quantization }),
      bytes: rest.reduce<number>((sum, size = 0) => sum + size, bytes),
      parts: Number(parts),
      ...(rest.includes(undefined)
        ? { problem: 'A part of it is missing.' }
        : quantization && !RUNS.test(quantization)
          ? { problem: `This page cannot run ${quantization} files.` }
          : {}),
    });
  }
  // the shorter form is the one that the list of models has, too
  for (const file of files)
    if (
      !revision &&
      file.quantization &&
      !file.name.includes('/') &&
      files.filter(({ quantization }) => quantization === file.quantization).length === 1
    )
      file.source = `${repo}:${file.quantization}`;
  const architecture = isObject(gguf) && isText(gguf.architecture) ? gguf.architecture : undefined;
  return {
    files: files.sort((a, b) => a.bytes - b.bytes).slice(0, MOST),
    ...(architecture && !RUN_HERE.includes(architecture) && { foreign: architecture.slice(0, 40) }),
  };
}

/** @param activeShare the part of the weights that a token reads */
export const sizesOf = ({ bytes }: RepoFile, activeShare: number): { megabytes: number; activeMegabytes: number } => ({
  megabytes: bytes / 1e6,
  activeMegabytes: (bytes * activeShare) / 1e6,
});

/** The largest that fits and is fast enough: more bits, better answers. */
export function bestOf(files: readonly RepoFile[], device: Device, activeShare = 1): RepoFile | undefined {
  const offers = files.filter(({ problem }) => !problem).map((file) => ({ file, ...sizesOf(file, activeShare) }));
  return recommend(offers, device)?.file;
}

/** Asks the hub. @throws what fetch throws, and for a status that is an error */
export async function askForFiles(
  at: Repo,
  { hub, signal }: { hub: string; signal?: AbortSignal },
): Promise<RepoListing> {
  const revision = at.revision.slice(1) || 'main';
  const response = await fetch(`${hub}/api/models/${at.repo}/revision/${encodeURIComponent(revision)}?blobs=true`, {
    signal,
    referrerPolicy: 'no-referrer',
    cache: 'no-store',
  });
  if (!response.ok) throw new Error(`The hub answers with status ${response.status}.`);
  return listFiles(await response.json(), at);
}
