/**
 * Asks once whether a model can be reached, before a download: the library repeats a request that fails for most of a
 * minute, because a connection may come back. Where no repetition helps, the reason is said at once.
 */

/** An error with the parts that the library's errors have. */
export class ReachError extends Error {
  readonly cure: string;
  constructor(what: string, cure: string) {
    super(`${what}. ${cure}`);
    this.name = 'SourceError';
    this.cure = cure;
  }
}

export interface ReachParts {
  hub?: string;
  signal?: AbortSignal;
  /** replaced in tests */
  fetch?: typeof fetch;
  page?: { onLine: boolean; secure: boolean; isolated?: boolean };
}

const HUGGING_FACE = 'https://huggingface.co';

/** The address that a download asks first. */
function firstAddress(source: string, hub: string): URL | undefined {
  const [, repo] = /^([\w.-]+\/[\w.-]+)(?:[:@/].*)?$/.exec(source) ?? [];
  try {
    return repo && !/^\.{1,2}\//.test(source)
      ? new URL(`${hub}/api/models/${repo}/revision/main`)
      : new URL(source, globalThis.document?.baseURI);
  } catch {
    return undefined; // not an address: the library says what is wrong with it
  }
}

/** Whether the host answers at all, to a request whose answer the page may not read. */
async function answers(url: URL, send: typeof fetch, signal?: AbortSignal): Promise<boolean> {
  try {
    await send(url, { mode: 'no-cors', method: 'HEAD', cache: 'no-store', referrerPolicy: 'no-referrer', signal });
    return true;
  } catch {
    return false;
  }
}

const thisPage = (): NonNullable<ReachParts['page']> => ({
  onLine: navigator.onLine,
  secure: location.protocol === 'https:',
  isolated: crossOriginIsolated,
});

/** @throws ReachError; AbortError */
export async function checkReachable(
  source: string,
  { hub = HUGGING_FACE, signal, fetch: send = globalThis.fetch.bind(globalThis), page = thisPage() }: ReachParts = {},
): Promise<void> {
  const url = firstAddress(source, hub.replace(/\/+$/, ''));
  if (!url || !/^https?:$/.test(url.protocol)) return;
  const local = /^(localhost|127\..*|\[::1\])$/.test(url.hostname);
  if (!page.onLine && !local)
    throw new ReachError(
      'This device has no network',
      'Try again when it is online. Models that are stored on this device can be used without it.',
    );
  if (page.secure && url.protocol === 'http:' && !local)
    throw new ReachError(
      `${url.host} cannot be read from this page: the page uses https, the address http`,
      'Use an https address.',
    );
  try {
    // one byte; a status that is an error is for the library to explain
    const response = await send(url, {
      headers: { Range: 'bytes=0-0' },
      cache: 'no-store',
      referrerPolicy: 'no-referrer',
      signal,
    });
    await response.body?.cancel();
  } catch (error) {
    if (signal?.aborted || (error instanceof Error && error.name === 'AbortError')) throw error;
    if (await answers(url, send, signal))
      throw new ReachError(
        `${url.host} does not allow this page to read its files (CORS)`,
        'Download the file yourself and drop it on this page, or use another address.',
      );
    // an isolated page cannot tell the two apart
    throw new ReachError(
      `${url.host} cannot be reached${page.isolated ? ', or it does not allow this page to read its files (CORS)' : ''}`,
      'Check the address and the connection. What is stored of a download is kept.',
    );
  }
}
