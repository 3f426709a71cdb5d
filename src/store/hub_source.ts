/**
 * Hubs with the API of Hugging Face: /api/models/{repo}/revision/{revision}?blobs=true lists files with sizes and
 * hashes. The files are at /{repo}/resolve/{commit}/{path}, which redirects to signed URLs that expire.
 *
 * A token is sent to the hub's host only: it is a header of the first request, and browsers drop Authorization on a
 * redirect to another origin (Fetch standard, "HTTP-redirect fetch"). It is never stored.
 */
import { fail } from '../errors';
import { chooseFiles } from './choose_files';
import type { FileRecord } from './model_cache';
import { fetchJson } from './http';
import type { HttpRequestOptions } from './http_connection';

export const DEFAULT_HUB = 'https://huggingface.co';

export interface HubModelId {
  repo: string;
  /** a quantisation, a file or a folder */
  selector?: string;
  revision: string;
}

/** The files that a source stands for. */
export interface ResolvedModel {
  id: string;
  revision?: string;
  files: FileRecord[];
}

const PART = '[A-Za-z0-9][A-Za-z0-9._-]*';
const ID = /* @__PURE__ */ new RegExp(
  `^(${PART}/${PART})(?:/([^:@?#]+))?(?::([^/:@?#]+))?(?:@([^:@?#]+))?(?::([^/:@?#]+))?$`,
);

/** The names of the default hub, as other tools write them before an id. */
const HOSTS = ['huggingface.co/', 'hf.co/', 'www.huggingface.co/'];
/** No one on a hub has these names, and folders of sites do. */
const FOLDERS = /^(models|assets|static|public)\//;

/**
 * 'Org/Repo', 'Org/Repo:Q4_0', 'Org/Repo/file.gguf', each with '@revision', 'hf.co/' before it or not; or a URL of the
 * hub, as copied from a browser.
 * Undefined for any other text, such as 'models/file.gguf'.
 */
export function parseHubId(text: string, hub = DEFAULT_HUB): HubModelId | undefined {
  const host = [`${hub}/`, ...HOSTS, ...(hub === DEFAULT_HUB ? HOSTS.map((name) => `https://${name}`) : [])].find(
    (name) => text.startsWith(name),
  );
  const inHub = host
    ? text
        .slice(host.length)
        .replace(/[?#].*$/, '')
        .replace(/\/$/, '')
    : text;
  if (host) {
    const [org, name, kind, ...rest] = inHub.split('/').map(decode);
    if (/^(blob|resolve|tree|raw)$/.test(kind) && rest[0]) {
      const revision = rest.splice(0, rest[0] === 'refs' ? 3 : 1).join('/');
      return { repo: `${org}/${name}`, revision, ...(rest.length > 0 && { selector: rest.join('/') }) };
    }
    if (kind && host.includes(':')) return undefined; // another address of the host
  }
  const [, repo, path, quant, revision = 'main', late] = ID.exec(inHub) ?? [];
  const selector = path ?? quant ?? late;
  if (!repo || text.includes('..') || [path, quant, late].filter(Boolean).length > 1) return undefined;
  // a file of the page, whose address begins with ./
  if (!host && (!path || FOLDERS.test(repo)) && /\.(gguf|safetensors)$/i.test(text)) return undefined;
  return { repo, revision: decode(revision), ...(selector && { selector }) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Asks the hub for the files with their sizes, hashes and commit. @throws SourceError; AbortError */
export async function resolveHubModel(
  { repo, selector, revision }: HubModelId,
  options: HttpRequestOptions & { hub: string; token?: string },
): Promise<ResolvedModel> {
  const { hub } = options;
  const url = `${hub}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const answer = (await fetchJson(url, options)) as { sha?: unknown; siblings?: unknown } | null;
  if (typeof answer?.sha !== 'string' || !/^[0-9a-f]{6,64}$/i.test(answer.sha) || !Array.isArray(answer.siblings))
    fail('SourceError', {
      what: `${hub} does not answer like a model hub`,
      got: JSON.stringify(answer).slice(0, 80),
      wanted: 'a list of files',
      cure: 'Check the hub address.',
    });
  const commit = answer.sha;
  const siblings = new Map(
    (answer.siblings as (Sibling | null)[]).map((sibling) => [String(sibling?.rfilename), sibling]),
  );
  const names = chooseFiles([...siblings.keys()], selector, `${repo} at ${revision}`);
  const single = names[0].endsWith('.gguf');
  const folder = single ? '' : names[0].slice(0, names[0].lastIndexOf('/') + 1);
  return {
    id: `${hub === DEFAULT_HUB ? '' : `${hub.replace(/^https?:\/\//, '')}/`}${repo}${single ? `/${names[0]}` : folder && `/${folder.slice(0, -1)}`}${revision === 'main' ? '' : `@${revision}`}`,
    revision: commit,
    files: names.map((name) => ({
      ...readSibling(siblings.get(name)!),
      name: name.slice(folder.length),
      url: `${hub}/${repo}/resolve/${encodeURIComponent(commit)}/${name.split('/').map(encodeURIComponent).join('/')}`,
    })),
  };
}

interface Sibling {
  rfilename?: unknown;
  size?: unknown;
  blobId?: unknown;
  lfs?: { sha256?: unknown; oid?: unknown; size?: unknown };
}

function readSibling(sibling: Sibling): Omit<FileRecord, 'name' | 'url'> {
  const size = sibling.lfs?.size ?? sibling.size;
  if (
    !Number.isSafeInteger(size) ||
    (size as number) < 0 ||
    String(sibling.rfilename)
      .split('/')
      .some((part) => part === '' || part === '..')
  )
    fail('SourceError', {
      what: 'The hub lists a file without a valid name or size',
      got: JSON.stringify(sibling).slice(0, 120),
      wanted: 'a name and a size',
    });
  const sha256 = sibling.lfs?.sha256 ?? sibling.lfs?.oid;
  const gitId = sibling.blobId;
  return {
    size: size as number,
    ...(typeof sha256 === 'string' && /^[0-9a-f]{64}$/i.test(sha256) && { sha256: sha256.toLowerCase() }),
    ...(!sibling.lfs && typeof gitId === 'string' && /^[0-9a-f]{40}$/i.test(gitId) && { gitId: gitId.toLowerCase() }),
  };
}
