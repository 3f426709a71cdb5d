/**
 * Starts a worker from scripts in the page's own text, so that one file is enough on any host. Its calls settle even if
 * it dies.
 */
import { wrap, type Remote } from 'comlink';
import '../engine/comlink_handlers';
import { fail, RivuletError } from '../errors';
import { lendThreads } from './lend_threads';
import { trustedUrl } from './trusted_url';

export type CallGuard = <T>(call: Promise<T>) => Promise<T>;

export interface StartedWorker<Calls> {
  /** the worker's calls, as promises */
  remote: Remote<Calls>;
  /** rejects a call that is open when the worker ends */
  guard: CallGuard;
  /** ends the worker; open and later calls reject with the reason */
  end(reason: Error): void;
}

/**
 * @param name of the worker, for developer tools
 * @param scripts classic scripts, which run one after the other
 * @throws DeviceError if the browser starts no worker
 */
export function startWorker<Calls>(name: string, scripts: string[]): StartedWorker<Calls> {
  let worker: Worker;
  try {
    // a classic worker: a module worker does not start from a blob in a sandboxed frame
    worker = new Worker(
      trustedUrl(
        URL.createObjectURL(
          new Blob(
            [
              `URL.revokeObjectURL(location.href);globalThis.rivuletPage=${JSON.stringify(globalThis.document?.baseURI)};`,
              ...scripts,
            ],
            { type: 'text/javascript' },
          ),
        ),
      ),
      { name },
    );
  } catch (cause) {
    const cure =
      typeof Worker === 'undefined'
        ? 'A service worker or shared worker can start none: load in a page, in an extension in an offscreen document.'
        : "With a Content Security Policy, allow worker-src blob:, and with trusted-types the policy 'rivulet'.";
    fail('DeviceError', { what: 'The worker did not start', got: String(cause), cure }, cause);
  }
  const takeBack = lendThreads(worker);
  const open = new Set<(error: Error) => void>();
  let ended: Error | undefined;

  function end(reason: Error): void {
    ended ??= reason;
    worker.terminate();
    // Comlink holds the worker as long as its proxy lives, and through this listener and the reason's stack the worker
    // would hold the proxy
    worker.onerror = null;
    takeBack();
    for (const reject of open) reject(ended);
    open.clear();
  }
  worker.onerror = (event) => {
    const cure = 'Reload the page. With a Content Security Policy, allow worker-src blob:.';
    end(new RivuletError('DeviceError', { what: 'The worker failed', got: event.message || 'no reason', cure }));
  };

  const guard: CallGuard = (call) =>
    new Promise((resolve, reject) => {
      if (ended) return reject(ended);
      open.add(reject);
      call.then(resolve, reject).finally(() => open.delete(reject));
    });
  return { remote: wrap<Calls>(worker), guard, end };
}
