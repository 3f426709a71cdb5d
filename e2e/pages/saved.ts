/** A page that saves its conversations. */
import { forgetConversations, load, type GenerationResult, type LoadCallOptions, type Model } from '../../src/index';

let model: Model;

export interface SavedPage {
  load(url: string, options: LoadCallOptions): Promise<string>;
  say(prompt: number[]): Promise<GenerationResult>;
  save(): Promise<void>;
  forget(): Promise<void>;
}

(window as Window & { saved?: SavedPage }).saved = {
  load: async (url, options) => {
    model = await load({ url: new URL(url, location.href).href }, { saveConversations: true, ...options });
    return model.info.backend.name;
  },
  say: (prompt) => model.generate(prompt, { temperature: 0, maxTokens: 8, logprobs: 0 }).result,
  save: () => model.saveConversations(),
  forget: () => forgetConversations(),
};
