/** The options of `load` and `chat` that stand in the attributes of an element. */
import type { ChatOptions, LoadCallOptions } from '../index';

/** A changed attribute of these loads the model again. */
export const MODEL_ATTRIBUTES: readonly string[] = ['model', 'backend', 'context-length', 'threads', 'hub'];

const textOf = (element: Element, name: string): string | undefined => element.getAttribute(name) ?? undefined;
/** What is no number is refused by `load` and `chat`. */
const numberOf = (element: Element, name: string): number | undefined =>
  element.hasAttribute(name) ? Number(element.getAttribute(name)) : undefined;
const given = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;

export const loadOptionsOf = (
  element: Element,
): Pick<LoadCallOptions, 'backend' | 'contextLength' | 'threads' | 'hub'> =>
  given({
    backend: textOf(element, 'backend') as LoadCallOptions['backend'],
    contextLength: numberOf(element, 'context-length'),
    threads: numberOf(element, 'threads'),
    hub: textOf(element, 'hub'),
  });

export const chatOptionsOf = (element: Element): ChatOptions => ({
  stopRepetition: true,
  ...given({ temperature: numberOf(element, 'temperature'), maxTokens: numberOf(element, 'max-tokens') }),
});
