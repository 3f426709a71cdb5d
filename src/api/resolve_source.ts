/** Reads the source of a model as a page holds it. */
import { fail, show } from '../errors';
import type { ModelSource } from '../store/open_model';
import { kindOf, readSafely } from './plain_copy';

const MAX_ADDRESS = 2 ** 20; // characters
const isAddress = (value: unknown): boolean =>
  kindOf(value) === 'URL' || (typeof value === 'string' && value.length <= MAX_ADDRESS);

/**
 * The same source as plain data, with absolute URLs: the worker is a blob and has no URL to resolve them against. A
 * bare 'a/b' is a hub id;
 * './a/b', '../a/b' and '/a/b' are URLs.
 * @throws RequestError for what is no source
 */
export const readSource = (source: unknown): ModelSource =>
  readSafely(() => {
    if (isAddress(source)) return absoluteUrl(source);
    if (isFile(source) || /^FileSystem(File|Directory)Handle$/.test(kindOf(source))) return sendable(source as File);
    if (kindOf(source) !== 'Object') return failSource(source);
    const { url, file, files, name } = source as { url?: unknown; file?: unknown; files?: unknown; name?: unknown };
    const urls = Array.isArray(url) ? [...url] : [url];
    if (urls.every(isAddress)) return { url: urls.map(absoluteUrl) };
    if (isFile(file)) return { file: sendable(file), ...(typeof name === 'string' && { name }) };
    const list = kindOf(files) === 'FileList' || Array.isArray(files) ? Array.from(files as File[]) : [];
    return list.length && list.every(isFile) ? { files: list.map(sendable) } : failSource(source);
  });

const isFile = (value: unknown): value is File => /^(File|Blob)$/.test(kindOf(value));

/** A file is sent without a copy of its bytes. @throws for a proxy of it */
const sendable = <T>(file: T): T => structuredClone(file);

function absoluteUrl(address: unknown): string {
  const text = String(address).trim();
  // Node has no address; there the worker, which cannot start, gives the error
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  if (!base || !/^\.{0,2}\//.test(text)) return text;
  try {
    return new URL(text, base).href;
  } catch (cause) {
    return fail(
      'RequestError',
      {
        what: 'A relative address cannot be completed',
        got: `${show(text)} at ${base}`,
        cure: 'Write the whole address.',
      },
      cause,
    );
  }
}

/** A Blob or File. @throws RequestError */
export const readFile = (file: unknown): Blob => readSafely(() => (isFile(file) ? sendable(file) : failSource(file)));

function failSource(source: unknown): never {
  const kind = kindOf(source);
  fail('RequestError', {
    what: 'This is not a model source',
    got:
      kind === 'Object'
        ? Object.keys(source as object)
            .slice(0, 9)
            .join(', ') || 'an empty object'
        : kind,
    wanted: 'an address, a file, a directory handle, { url }, { file } or { files }',
    cure: 'Await a promise. Put bytes into a Blob.',
  });
}

/** The option `hub` with an absolute URL. */
export const absoluteHub = <T extends { hub?: string }>(options: T): T =>
  options.hub ? { ...options, hub: absoluteUrl(options.hub) } : options;
