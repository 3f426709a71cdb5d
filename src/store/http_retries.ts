/** Repeats a request after a temporary failure (a cut, a stall, a busy server), and says why no answer comes. */
import { abortError, fail, type ErrorParts } from '../errors';
import { TemporaryFailure, type HttpRequestOptions, type RemoteFile } from './http_connection';

const MAX_RETRY_WAIT_MS = 30_000;
const MAX_SILENCE_MS = 8000; // a server that never answered is given up
const PROBE_MS = 3000;

/** Runs `attempt` until it has no more to do. Waits after a temporary failure. */
export async function withRetries(
  remote: RemoteFile,
  { policy, signal, onBusy, onWait }: HttpRequestOptions,
  attempt: () => Promise<{ more: boolean; failed?: TemporaryFailure }>,
): Promise<void> {
  const begun = performance.now();
  for (let failures = 0; ;) {
    if (signal.aborted) throw abortError();
    let failed: TemporaryFailure | undefined;
    try {
      const result = await attempt();
      if (!result.more) return;
      failures = 0;
      failed = result.failed;
    } catch (error) {
      if (signal.aborted) throw abortError();
      if (!(error instanceof TemporaryFailure)) throw error;
      failed = error;
    }
    if (!failed) continue;
    if (failed.busy) onBusy?.();
    const wait = Math.max(
      failed.waitMs,
      Math.min(MAX_RETRY_WAIT_MS, policy.backoff * 2 ** failures) * (0.5 + Math.random() / 2),
    );
    const why = failed.url
      ? (remote.why ??= await explainSilence(failed.url, failed.message))
      : { got: failed.message, cure: 'Check the connection and load again: the downloaded part is kept.' };
    if (signal.aborted) throw abortError();
    const hopeless =
      failed.url && (isOffline() || !isOfServer(failed.url) || performance.now() - begun + wait > MAX_SILENCE_MS);
    if (++failures >= policy.attempts || hopeless)
      fail('SourceError', { what: `${remote.file.name} cannot be downloaded`, ...why });
    onWait?.(`${why.got}. The next attempt is in ${Math.ceil(wait / 1000)} s.`);
    await waitToRetry(wait, signal);
  }
}

const isOffline = (): boolean => globalThis.navigator?.onLine === false;
/** What an app serves to its own pages does not come up later. */
const isOfServer = (url: string): boolean => url.startsWith('http');

/** Why a server does not answer. Browsers do not tell; requests of other kinds do, as far as they can. */
async function explainSilence(url: string, message: string): Promise<Pick<ErrorParts, 'got' | 'cure'>> {
  const answer = (mode: RequestMode): Promise<ResponseType | undefined> =>
    fetch(url, {
      mode,
      method: 'HEAD',
      signal: AbortSignal.timeout(PROBE_MS),
      cache: 'no-store',
      referrerPolicy: 'no-referrer',
    }).then(
      ({ type }) => type,
      () => undefined,
    );
  if (url.startsWith('file:'))
    return {
      got: message,
      cure: 'A page cannot read files of the disk: let the user choose the file, or serve the folder over http.',
    };
  if (isOffline()) return { got: 'no connection: this device is offline', cure: 'Load again when it is online.' };
  const [readable, any] = await Promise.all([answer('cors'), answer('no-cors')]);
  if (readable || (any && any !== 'opaque'))
    return { got: 'no answer to a request for a range', cure: 'Turn compression off for this file on the server.' };
  if (any)
    return {
      got: 'an answer that this page may not read',
      cure: 'The server must send Access-Control-Allow-Origin (CORS).',
    };
  const cure =
    "Check the address and the connection. The page's Content Security Policy must allow the host in connect-src, and a server of another origin must send Access-Control-Allow-Origin (CORS).";
  return { got: message, cure };
}

/** Waits, at most until the device is online again. */
function waitToRetry(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      globalThis.removeEventListener?.('online', done);
      if (signal.aborted) reject(abortError());
      else resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
    globalThis.addEventListener?.('online', done);
  });
}
