/** The options of an answer, from the settings and the form of its request. */
import type { ChatOptions } from '../../src/index';
import { responseFormat } from './json/form';
import { EMBEDDED_SAMPLING } from './models/catalogue';
import type { ModelSession } from './models/model_session';
import { SAMPLING, type Settings } from './settings';

/**
 * @param tools definitions of those that are switched on
 * @param schema the form of a reply in JSON, for which no tools are called
 */
export function chatOptions(
  session: Pick<ModelSession, 'isDemo' | 'constrained'>,
  settings: Settings,
  tools: object[],
  schema?: string,
): ChatOptions {
  const own = Object.fromEntries(
    SAMPLING.map((name) => [name, settings[name]]).filter(([, value]) => value !== undefined),
  );
  return {
    ...(session.isDemo() && EMBEDDED_SAMPLING),
    ...own,
    ...(schema !== undefined
      ? { responseFormat: responseFormat(schema) }
      : tools.length && { tools, ...(settings.holdCalls && session.constrained && { toolChoice: 'auto' }) }),
  };
}
