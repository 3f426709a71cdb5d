/** A page with the engine's worker and no more: saved conversations have no public call yet. */
import { proxy, wrap } from 'comlink';
import '../../src/engine/comlink_handlers';
import type { EngineWorkerCalls } from '../../src/engine/engine';
import type { GenerationResult } from '../../src/engine/generate';
import type { LoadOptions } from '../../src/engine/load_model';

const engine = wrap<EngineWorkerCalls>(
  new Worker(new URL('../../src/worker.ts', import.meta.url), { type: 'module', name: 'rivulet' }),
);

export interface SavedPage {
  load(url: string, options: LoadOptions): Promise<string>;
  say(prompt: number[]): Promise<GenerationResult>;
  save(): Promise<void>;
}

(window as Window & { saved?: SavedPage }).saved = {
  load: async (url, options) => (await engine.load({ url: new URL(url, location.href).href }, options)).backend.name,
  say: (prompt) =>
    engine.generate(
      prompt,
      { temperature: 0, maxTokens: 8, logprobs: 0 },
      proxy(() => undefined),
    ),
  save: () => engine.saveConversations(),
};
