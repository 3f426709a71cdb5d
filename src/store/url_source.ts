/** Models at plain URLs: one file (with its shards), a list of files, or a folder with a Hugging Face checkpoint. */
import { fail, RivuletError } from '../errors';
import { OPTIONAL_FILES, shardNames } from './choose_files';
import type { FileRecord } from './model_cache';
import type { ResolvedModel } from './hub_source';
import { fetchJson, fetchFileInfo } from './http';
import type { HttpRequestOptions } from './http_connection';

/** 'https://…', 'app://…', './model.gguf', '/models/', 'blob:…' → an absolute URL; undefined for any other text. */
export function toAbsoluteUrl(text: string): string | undefined {
  if (!/^(?:[a-z][\w+.-]*:\/\/|blob:|data:|\.{0,2}\/)/i.test(text)) return undefined;
  try {
    const url = new URL(text, globalThis.location?.href);
    url.hash = '';
    return url.href;
  } catch {
    return undefined;
  }
}

/** Parameters of addresses that are signed for a while, of S3, Google, Azure, CloudFront and others. */
const SIGNATURE =
  /^(x-(amz|goog|oss|obs|cos|ms)-.*|q-.*|expires|policy|key-pair-id|sign(ature)?|token|(security-|hdn).*|(aws|google|oss)access(key)?id|s(ig|[a-z]|rt|pr|k[a-z]{1,3}))$/i;

/** The address without its signature: the same file has another one each time. */
export function withoutSignature(address: string): string {
  const [path, ...queries] = address.split('?');
  const rest = queries
    .join('?')
    .split('&')
    .filter((parameter) => !SIGNATURE.test(parameter.split('=')[0]))
    .join('&');
  return rest ? `${path}?${rest}` : path;
}

/** @throws SourceError, AbortError */
export async function resolveUrls(
  urls: string[],
  options: HttpRequestOptions & { peek?: boolean },
): Promise<ResolvedModel> {
  const id = urls.map(withoutSignature).join(' ');
  if (urls.length === 1 && new URL(urls[0]).pathname.endsWith('/'))
    return { id, files: await listFolder(urls[0], options) };
  const all =
    urls.length === 1
      ? shardNames(fileName(urls[0])).map((name) =>
          urls[0].replace(encodeURIComponent(fileName(urls[0])), encodeURIComponent(name)),
        )
      : urls;
  const names = all.map(fileName);
  if (new Set(names).size < names.length)
    fail('RequestError', {
      what: 'Two addresses of one model have the same file name',
      got: names.join(', '),
      wanted: 'one address for each file',
    });
  return { id, files: await Promise.all(all.map((url, i) => fetchFileInfo(url, names[i], options))) };
}

function fileName(url: string): string {
  const last = new URL(url).pathname.split('/').at(-1)!;
  try {
    return decodeURIComponent(last) || 'model';
  } catch {
    return last;
  }
}

/** A static server lists no files, so each file that a checkpoint must or may have is requested by name. */
async function listFolder(url: string, options: HttpRequestOptions & { peek?: boolean }): Promise<FileRecord[]> {
  const at = (name: string): string => new URL(name, url).href;
  const required = (name: string): Promise<FileRecord> => fetchFileInfo(at(name), name, options);
  const ifPresent = async (name: string): Promise<FileRecord[]> => {
    try {
      return [await required(name)];
    } catch (error) {
      if (error instanceof RivuletError) return []; // 404, or the page that a server sends for a missing file
      throw error;
    }
  };
  const index = 'model.safetensors.index.json';
  const [base, optional, single] = await Promise.all([
    Promise.all(['config.json', 'tokenizer.json'].map(required)),
    Promise.all(OPTIONAL_FILES.map(ifPresent)),
    ifPresent('model.safetensors'),
  ]);
  if (single.length > 0) return [...base, ...optional.flat(), ...single];
  const listed = await required(index);
  const map = (await fetchJson(at(index), options)) as { weight_map?: Record<string, unknown> } | null;
  const parts = [...new Set(Object.values(map?.weight_map ?? {}))]
    .filter((name): name is string => typeof name === 'string' && /^[\w.-]+$/.test(name))
    .sort();
  if (parts.length === 0) fail('SourceError', { what: `${at(index)} lists no files`, wanted: 'a weight_map' });
  return [...base, ...optional.flat(), listed, ...(await Promise.all(parts.map(required)))];
}
