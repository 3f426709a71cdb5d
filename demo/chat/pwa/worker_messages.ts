/** What a page says to the service worker (demo/service_worker.ts). */

/** Values of Cross-Origin-Embedder-Policy that isolate a page. */
export type IsolationMode = 'credentialless' | 'require-corp';

export type WorkerMessage =
  /** takes the place of the worker that is active now */
  | { do: 'activate' }
  /** deletes the files of earlier builds, if no other page is open */
  | { do: 'tidy' }
  /** sends this policy from now on; the answer through the port says that it is stored */
  | { do: 'isolate'; mode: IsolationMode };
