import type { ModelSource } from '../store/open_model';

/**
 * Makes relative URLs absolute in the page: the worker is a blob and has no URL to resolve them against. A bare 'a/b' is a hub id; './a/b',
 * '../a/b' and '/a/b' are URLs.
 */
export function absoluteSource(source: ModelSource): ModelSource {
  const resolve = (url: string): string => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  if (typeof source === 'string') return /^\.{0,2}\//.test(source) ? resolve(source) : source;
  if (!('url' in source)) return source;
  return { ...source, url: typeof source.url === 'string' ? resolve(source.url) : source.url.map(resolve) };
}

/** The same for the option `hub`. */
export const absoluteHub = <T extends { hub?: string }>(options: T): T => (options.hub ? { ...options, hub: absoluteSource(options.hub) as string } : options);
