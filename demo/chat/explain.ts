/** Errors in words for the person at the page: a title, what to do, and the technical message to fold away. */
import { element } from './dom';

/** The parts of a Rivulet error. They are absent in errors of other kinds. */
interface Parts {
  name: string;
  message: string;
  what?: string;
  got?: string;
  wanted?: string;
  cure?: string;
}

export interface Explanation {
  title: string;
  /** what to do; the whole message where the error does not say */
  text: string;
  /** the technical message, where `text` is something else */
  details?: string;
}

const TITLES: Record<string, string> = {
  CheckpointError: 'This model cannot be used',
  SourceError: 'The model cannot be reached',
  StorageError: 'There is a problem with the browser’s storage',
  MemoryError: 'There is not enough memory for this model',
  DeviceError: 'This device cannot run the model',
  ContextError: 'The conversation is too long',
  RequestError: 'A setting or the address of the model is not valid',
  AbortError: 'Cancelled',
};

/** What to do on this page, where the error's own advice is for the developer of a page. */
const ADVICE: Record<string, string> = {
  ContextError: 'Start a new chat. This conversation is longer than the model can read.',
  MemoryError: 'Choose a smaller model, or set a shorter context in Settings.',
  AbortError: 'The model was not loaded.',
};

const SCHEMA = /^(?:The schema|No value fits the schema|The pattern|The grammar)\b/;

/** An error that the page has shown, for the support report. */
export interface SeenError {
  time: string;
  name: string;
  what: string;
  got?: string;
  wanted?: string;
  cure?: string;
}

const seen: SeenError[] = [];
const MOST_SEEN = 20;

/** Remembers an error for the support report. */
export function remember({ name, message, what = message, got, wanted, cure }: Parts): void {
  seen.push({
    time: new Date().toISOString(),
    name,
    what,
    ...(got && { got }),
    ...(wanted && { wanted }),
    ...(cure && { cure }),
  });
  if (seen.length > MOST_SEEN) seen.shift();
}

/** The last errors that were shown, the newest last. */
export const seenErrors = (): SeenError[] => [...seen];

/** @param backend the one that was asked for */
export function explain(error: unknown, backend: 'auto' | 'webgpu' | 'wasm' = 'auto'): Explanation {
  const parts: Parts = error instanceof Error ? error : { name: 'Error', message: String(error) };
  const { name, message, what, cure } = parts;
  if (name !== 'AbortError') remember(parts);
  const advised = cure !== undefined && message.endsWith(` ${cure}`) && ADVICE[name] === undefined;
  const details = sentence(advised ? message.slice(0, -cure.length) : message);
  if (what === 'The worker failed')
    return {
      title: 'The model has stopped',
      text: 'Try again. The page then loads the model again.',
      details: sentence(message),
    };
  if (name === 'RequestError' && what && SCHEMA.test(what))
    return { title: 'The JSON Schema cannot be used', text: aboutSchema(parts) };
  if (name === 'DeviceError' && backend === 'webgpu')
    return {
      title: 'WebGPU is not available here',
      text: 'Use the CPU instead. It is slower, but works in every browser.',
      details: sentence(message),
    };
  const text = ADVICE[name] ?? (cure && sentence(cure)) ?? details;
  return {
    title: TITLES[name] ?? 'Something went wrong',
    text,
    ...(text !== details && name !== 'AbortError' && { details }),
  };
}

/** Where a schema cannot be used, and why. The advice is for the developer of a page, but for contradictions. */
function aboutSchema({ what = '', got, wanted, cure = '' }: Parts): string {
  if (what.startsWith('No value')) return `${sentence(what)} ${cure}`;
  return sentence(
    wanted && what.includes(' not valid at ')
      ? `${what}: it is ${got ?? 'missing'}, and must be ${wanted}`
      : got
        ? `${what}: ${got}`
        : what,
  );
}

/**
 * A capital letter at the start, except for a file name or an address, and one full stop at the end: a message may
 * quote a whole sentence.
 */
export function sentence(text: string): string {
  const once = text.trim().replace(/(?<!\.)\.\.(?=\s|$)/g, '.');
  const capital = once.replace(/^[a-z](?=[a-z’']*[,:.]?(?:\s|$))/, (letter) => letter.toUpperCase());
  return /[.!?…)]$/.test(capital) ? capital : `${capital}.`;
}

/** The text, and the technical message behind a “Details” that opens. */
export const explained = ({ text, details }: Explanation): HTMLElement[] => [
  element('p', {}, text),
  ...(details ? [element('details', {}, element('summary', {}, 'Details'), element('p', {}, details))] : []),
];
