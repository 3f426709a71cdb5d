/** The Prompt API over models of Rivulet, a file of its own beside the library. */
import { createLanguageModel, type LanguageModelSource, type LanguageModelStatic } from './language_model';

export {
  createLanguageModel,
  type LanguageModelAvailability,
  type LanguageModelCreateOptions,
  type LanguageModelPromptOptions,
  type LanguageModelSession,
  type LanguageModelSource,
  type LanguageModelStatic,
  type TextReadableStream,
} from './language_model';
export type { LanguageModelMessage, LanguageModelPrompt } from './prompts';

/**
 * Sets `globalThis.LanguageModel`, unless the browser has one with a model. The name alone says nothing: browsers have
 * it without any model.
 * @returns whether it was set
 */
export async function installLanguageModel(source: LanguageModelSource): Promise<boolean> {
  const scope = globalThis as { LanguageModel?: Pick<LanguageModelStatic, 'availability'> };
  const own = await Promise.resolve(scope.LanguageModel?.availability()).catch(() => undefined);
  if (own !== undefined && own !== 'unavailable') return false;
  Object.defineProperty(globalThis, 'LanguageModel', {
    value: createLanguageModel(source),
    configurable: true,
    writable: true,
  });
  return true;
}
