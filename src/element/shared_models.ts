/** Elements that name the same model with the same options use one worker and one copy of the weights. */
import type { LoadCallOptions, Model, ModelSource } from '../index';
import type { loadOptionsOf } from './element_options';
import { elementError, getEngine } from './engine';

type Options = ReturnType<typeof loadOptionsOf>;
type ConfirmCopy = NonNullable<LoadCallOptions['confirmCopy']>;
type OnProgress = NonNullable<LoadCallOptions['onProgress']>;

interface SharedModel {
  model: Promise<Model>;
  users: Map<OnProgress, ConfirmCopy>;
  abort: AbortController;
}

const models = new Map<string, SharedModel>();

/**
 * How long a model outlives its last element, in ms: an element that is moved in the document leaves it for a moment.
 */
const LINGER_MS = 1000;

export interface ModelUse {
  model: Promise<Model>;
  /** The last one that releases a model unloads it. */
  release(): void;
}

/**
 * @param onProgress told of this model's download and load while the use lasts
 * @param confirmCopy asked if another tab has the model in memory, the oldest use first
 */
export function useModel(source: string, options: Options, onProgress: OnProgress, confirmCopy: ConfirmCopy): ModelUse {
  const key = JSON.stringify([source, options]);
  const shared = models.get(key) ?? start(key, source, options);
  shared.users.set(onProgress, confirmCopy);
  return {
    model: shared.model,
    release() {
      shared.users.delete(onProgress);
      setTimeout(() => {
        if (shared.users.size || models.get(key) !== shared) return;
        models.delete(key);
        shared.abort.abort();
        shared.model.then((model) => model.unload()).catch(() => undefined); // it never loaded
      }, LINGER_MS);
    },
  };
}

function start(key: string, source: string, options: Options): SharedModel {
  const users: SharedModel['users'] = new Map();
  const abort = new AbortController();
  const onProgress: OnProgress = (progress) => users.forEach((_, tell) => void tell(progress));
  // taken from the users, which go: the worker's port holds this function long after
  const confirmCopy: ConfirmCopy = async (copies) => {
    for (const [use, confirm] of users) {
      const answer = await confirm(copies);
      if (answer || users.has(use)) return answer; // else it went with the question open
    }
    return false;
  };
  const model = getEngine().then(async ({ load }) =>
    load(await reachable(source), { ...options, onProgress, confirmCopy, signal: abort.signal }),
  );
  const shared: SharedModel = { model, users, abort };
  models.set(key, shared);
  // a failed load is forgotten, so that the next use tries again
  model.catch(() => models.get(key) === shared && models.delete(key));
  return shared;
}

/** A file of a browser extension is on the device already: it is read, not stored. */
async function reachable(source: string): Promise<ModelSource> {
  if (!location.protocol.endsWith('-extension:') || !/^\.{0,2}\//.test(source)) return source;
  const response = await fetch(source).catch((cause: unknown) => {
    throw elementError(
      'SourceError',
      `The model ${source} is not in this extension`,
      String(cause),
      'Check the attribute model.',
      cause,
    );
  });
  return { file: await response.blob(), name: source.split('/').at(-1)! };
}
