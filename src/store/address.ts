/** Models at plain addresses: one file (with its shards), a list of files, or a folder that holds a Hugging Face checkpoint. */
import { fail, RivuletError } from '../errors';
import { OPTIONAL, shards } from './choice';
import type { FileRecord } from './database';
import type { Resolved } from './hub';
import { fetchJson, probe, type Transport } from './transfer';

/** 'https://…', './model.gguf', '/models/', 'blob:…' → an absolute address; undefined for any other text. */
export function parseAddress(text: string): string | undefined {
  if (!/^(?:https?:|blob:|data:|\.{0,2}\/)/.test(text)) return undefined;
  try {
    const url = new URL(text, globalThis.location?.href);
    url.hash = '';
    return url.href;
  } catch {
    return undefined;
  }
}

/** @throws SourceError, AbortError */
export async function resolveAddresses(urls: string[], transport: Transport & { token?: string }): Promise<Resolved> {
  const id = urls.join(' ');
  if (urls.length === 1 && new URL(urls[0]).pathname.endsWith('/')) return { id, files: await folder(urls[0], transport) };
  const all = urls.length === 1 ? shards(fileName(urls[0])).map((name) => urls[0].replace(encodeURIComponent(fileName(urls[0])), encodeURIComponent(name))) : urls;
  const names = all.map(fileName);
  if (new Set(names).size < names.length) fail('RequestError', { what: 'two addresses of one model name the same file', got: names.join(', '), wanted: 'one address for each file' });
  return { id, files: await Promise.all(all.map((url, i) => probe(url, names[i], transport))) };
}

function fileName(url: string): string {
  const last = new URL(url).pathname.split('/').at(-1)!;
  try {
    return decodeURIComponent(last) || 'model';
  } catch {
    return last;
  }
}

/** A static server lists nothing: what the checkpoint must and may have is asked for by name. */
async function folder(url: string, transport: Transport & { token?: string }): Promise<FileRecord[]> {
  const at = (name: string): string => new URL(name, url).href;
  const must = (name: string): Promise<FileRecord> => probe(at(name), name, transport);
  const may = async (name: string): Promise<FileRecord[]> => {
    try {
      return [await must(name)];
    } catch (error) {
      if (error instanceof RivuletError) return []; // 404, or the page that a server sends for whatever it does not have
      throw error;
    }
  };
  const index = 'model.safetensors.index.json';
  const [required, optional, single] = await Promise.all([
    Promise.all(['config.json', 'tokenizer.json'].map(must)),
    Promise.all(OPTIONAL.map(may)),
    may('model.safetensors'),
  ]);
  if (single.length > 0) return [...required, ...optional.flat(), ...single];
  const listed = await must(index);
  const map = (await fetchJson(at(index), transport)) as { weight_map?: Record<string, unknown> } | null;
  const parts = [...new Set(Object.values(map?.weight_map ?? {}))].filter((name): name is string => typeof name === 'string' && /^[\w.-]+$/.test(name)).sort();
  if (parts.length === 0) fail('SourceError', { what: `${at(index)} names no files`, wanted: 'a weight_map' });
  return [...required, ...optional.flat(), listed, ...(await Promise.all(parts.map(must)))];
}
