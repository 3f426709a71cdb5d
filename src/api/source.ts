import type { ModelSource } from '../store/open';

/**
 * The worker is a blob and has no address to resolve a relative one against, so that is done in the page. A bare 'a/b' is a hub id;
 * './a/b', '../a/b' and '/a/b' are addresses.
 */
export function absolute(source: ModelSource): ModelSource {
  const resolve = (url: string): string => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  if (typeof source === 'string') return /^\.{0,2}\//.test(source) ? resolve(source) : source;
  if (!('url' in source)) return source;
  return { ...source, url: typeof source.url === 'string' ? resolve(source.url) : source.url.map(resolve) };
}

/** The same for the address of a hub among options. */
export const absoluteHub = <T extends { hub?: string }>(options: T): T => (options.hub ? { ...options, hub: absolute(options.hub) as string } : options);
