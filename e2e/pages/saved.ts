/** A page with the engine's worker and the side file `conversations`, which no public call starts yet. */
import { proxy } from 'comlink';
import { startEngine } from '../../src/api/client';
import { withSideFiles } from '../../src/api/side_files';
import type { GenerationResult } from '../../src/engine/generate';
import type { LoadOptions } from '../../src/engine/load_model';

const { remote: engine } = await withSideFiles(['conversations'], async (texts) => startEngine(texts));

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
