/** The page of the checking tools: starts the probe worker and lends it to Node as `probe`. */
import { wrap, type Remote } from 'comlink';
import type { Probe } from './probe.worker';

const worker = new Worker(new URL('./probe.worker.ts', import.meta.url), { type: 'module' });
worker.addEventListener('error', (event) => console.error(`probe worker: ${event.message}`));

export interface ProbeWindow {
  probe: Remote<Probe>;
  /** the files chosen in the page */
  chosen: () => File[];
}

const input = document.querySelector<HTMLInputElement>('#files')!;
Object.assign(window, { probe: wrap<Probe>(worker), chosen: () => [...(input.files ?? [])] } satisfies ProbeWindow);
