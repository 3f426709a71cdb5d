/** The models of an interface by the names that requests use. */
import { abortError, show } from '../errors';
import { isObject } from './fields';
import { refuse } from './openai_error';
import type { ModelCard, ModelEntry, Models, OpenAIModel } from './types';

export interface ModelTable {
  list(): ModelCard[];
  /**
   * @param signal an abort does not wait for the loading, which goes on
   * @throws OpenAIError 404 if there is no model of this name; what its loading throws; AbortError
   */
  get(name: string, signal?: AbortSignal | null): Promise<OpenAIModel>;
}

const isModel = (value: unknown): value is OpenAIModel =>
  isObject(value) && typeof value.chat === 'function' && isObject(value.info);

function requireModel(name: string, given: OpenAIModel): OpenAIModel {
  if (isModel(given)) return given;
  return refuse(
    'model',
    { what: `The function for ${name} gave no model`, got: show(given), wanted: 'what load() returns' },
    'model_not_loaded',
    500,
  );
}

/** @throws AbortError as soon as the signal fires */
const untilAborted = <T>(work: Promise<T>, signal?: AbortSignal | null): Promise<T> =>
  new Promise((resolve, reject) => {
    const stop = (): void => reject(abortError());
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop);
    void work.then(resolve, reject).finally(() => signal?.removeEventListener('abort', stop));
  });

/** @throws OpenAIError if there is no model */
export function createModelTable(models: Models): ModelTable {
  const created = nowInSeconds();
  const entries: Record<string, ModelEntry> = isModel(models)
    ? { [models.info.id]: models }
    : { ...(models as Record<string, ModelEntry>) };
  const names = Object.keys(entries);
  const wrong = names.find((name) => !['object', 'function'].includes(typeof entries[name]) || !entries[name]);
  if (!isObject(models) || !names.length || wrong !== undefined)
    refuse('models', {
      what: 'The models are not valid',
      got: wrong === undefined ? show(models) : `${show(entries[wrong])} as ${wrong}`,
      wanted: 'a loaded model, or models by name',
    });
  const loading = new Map<string, Promise<OpenAIModel>>();

  return {
    list: () => names.map((id) => ({ id, object: 'model', created, owned_by: 'rivulet' })),
    async get(name, signal) {
      if (!Object.hasOwn(entries, name))
        refuse(
          'model',
          { what: 'There is no model of this name', got: show(name), wanted: names.join(' or ') },
          'model_not_found',
          404,
        );
      const entry = entries[name];
      if (typeof entry !== 'function') return entry;
      // a load that failed is tried again by the next request
      const load = loading.get(name) ?? (async () => requireModel(name, await entry()))();
      loading.set(name, load);
      load.catch(() => loading.delete(name));
      return untilAborted(load, signal);
    },
  };
}

export const nowInSeconds = (): number => Math.floor(Date.now() / 1000);

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** An id of 24 random letters and digits behind a prefix. */
export const createId = (prefix: string): string =>
  prefix + Array.from(crypto.getRandomValues(new Uint8Array(24)), (byte) => LETTERS[byte % LETTERS.length]).join('');
