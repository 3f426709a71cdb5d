/**
 * What a message consists of, the checks of stored messages, and the last choices, kept over a reload. A browser that
 * refuses storage still chats.
 */
import { schemaProblem } from './json/form';
import type { CallRecord, CallState, Entry, Timer } from './tools/index';

/** A call of the assistant and what came of it. */
export interface KeptCall extends CallRecord {
  /** how its timer ended */
  ended?: TimerEnd;
  /** the user took it back on the card */
  undone?: boolean;
}

export type TimerEnd = 'rang' | 'missed' | 'cancelled';

/** A round of a reply that called tools. */
export interface Step {
  /** what the model wrote, with its call markers */
  text: string;
  /** what it thought before */
  reasoning?: string;
  calls: KeptCall[];
}

/** Why a larger model is offered under a reply: the demo model's call was not understood, or it has no answer. */
export type OfferReason = 'misunderstood' | 'unanswered';

/** A picture as it is shown, in pixels; its file is in pictures/pictures.ts. */
export interface KeptPicture {
  id: string;
  width: number;
  height: number;
}

/** A file that goes with a message: a text, or a picture, whose text is empty. */
export interface AttachedFile {
  name: string;
  text: string;
  picture?: KeptPicture;
}

export interface Turn {
  role: 'user' | 'assistant';
  /** of a reply: the last words, which stand under its cards */
  content: string;
  /** of a reply: what the model thought before its last words */
  reasoning?: string;
  /** the line under a reply: how fast it came, or that it was stopped */
  note?: string;
  steps?: Step[];
  offer?: OfferReason;
  /** of a message of the user */
  files?: AttachedFile[];
  /** of a message of the user: its reply is JSON that fits this schema, any object where it is empty */
  schema?: string;
  /** of a reply: it is JSON */
  json?: true;
}

type Kept = 'turns' | 'settings' | 'presets' | 'model' | 'look' | 'sidebar' | 'downloads' | 'speeds' | 'figures';
const PREFIX = 'rivulet-chat.';

export function keep(name: Kept, value: unknown): boolean {
  try {
    if (value === undefined) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export function kept(name: Kept): unknown {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name) ?? 'null');
  } catch {
    return null;
  }
}

// Anything may stand in storage: what is not valid is left out.

export type Fields<T> = Partial<Record<keyof T, unknown>>;
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const isText = (value: unknown): value is string => typeof value === 'string';
export const oneOf = <T extends string>(values: readonly T[], value: unknown): T | undefined =>
  values.find((each) => each === value);

const STATES: readonly CallState[] = ['done', 'refused', 'failed', 'declined'];
const ENDS: readonly TimerEnd[] = ['rang', 'missed', 'cancelled'];
const OFFERS: readonly OfferReason[] = ['misunderstood', 'unanswered'];

function timerIn(given: unknown): Timer | undefined {
  const { id, kind, title, start, end } = (isObject(given) ? given : {}) as Fields<Timer>;
  const known = oneOf(['timer', 'alarm'] as const, kind);
  return isText(id) && known && isText(title) && typeof start === 'number' && typeof end === 'number'
    ? { id, kind: known, title, start, end }
    : undefined;
}

function entryIn(given: unknown): Entry | undefined {
  const { id, list, text, added } = (isObject(given) ? given : {}) as Fields<Entry>;
  const known = oneOf(['notes', 'todos'] as const, list);
  return isText(id) && known && isText(text) && typeof added === 'number'
    ? { id, list: known, text, added }
    : undefined;
}

function callIn(given: unknown): KeptCall | undefined {
  if (!isObject(given)) return undefined;
  const {
    name,
    title,
    summary,
    brief,
    repairs,
    ms,
    value,
    arguments: values,
    ended,
    undone,
    live,
    entry,
    state,
  } = given as Fields<KeptCall>;
  const known = oneOf(STATES, state);
  if (!isText(name) || !isText(title) || !isText(summary) || !isText(brief) || !known) return undefined;
  const [timer, added, end] = [timerIn(live), entryIn(entry), oneOf(ENDS, ended)];
  return {
    name,
    title,
    summary,
    brief,
    state: known,
    arguments: isObject(values) ? values : {},
    value: isObject(value) ? value : {},
    repairs: Array.isArray(repairs) ? repairs.filter(isText) : [],
    ms: typeof ms === 'number' ? ms : 0,
    ...(timer && { live: timer }),
    ...(added && { entry: added }),
    ...(end && { ended: end }),
    ...(undone === true && { undone }),
  };
}

function stepIn(given: unknown): Step | undefined {
  const { text, reasoning, calls } = (isObject(given) ? given : {}) as Fields<Step>;
  return isText(text) && Array.isArray(calls)
    ? { text, ...(isText(reasoning) && { reasoning }), calls: calls.map(callIn).filter((call) => call !== undefined) }
    : undefined;
}

const isPixels = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0;

function pictureIn(given: unknown): KeptPicture | undefined {
  const { id, width, height } = (isObject(given) ? given : {}) as Fields<KeptPicture>;
  return isText(id) && isPixels(width) && isPixels(height) ? { id, width, height } : undefined;
}

export function fileIn(given: unknown): AttachedFile | undefined {
  const { name, text, picture } = (isObject(given) ? given : {}) as Fields<AttachedFile>;
  const shown = pictureIn(picture);
  return isText(name) && isText(text) ? { name, text, ...(shown && { picture: shown }) } : undefined;
}

export function turnIn(given: unknown): Turn | undefined {
  if (!isObject(given)) return undefined;
  const { role, content, reasoning, note, steps, offer, files, schema, json } = given as Fields<Turn>;
  const known = oneOf(['user', 'assistant'] as const, role);
  if (!known || !isText(content) || (note !== undefined && !isText(note))) return undefined;
  const rounds = Array.isArray(steps) ? steps.map(stepIn).filter((step) => step !== undefined) : [];
  const reason = oneOf(OFFERS, offer);
  const attached = Array.isArray(files) ? files.map(fileIn).filter((file) => file !== undefined) : [];
  return {
    role: known,
    content,
    ...(isText(reasoning) && { reasoning }),
    ...(note !== undefined && { note }),
    ...(rounds.length && { steps: rounds }),
    ...(reason && { offer: reason }),
    ...(attached.length && { files: attached }),
    ...(known === 'user' && isText(schema) && !schemaProblem(schema) && { schema }),
    ...(known === 'assistant' && json === true && { json }),
  };
}

/** The conversation of a version of this page that kept only one. */
export function formerTurns(): Turn[] {
  const turns = kept('turns');
  return Array.isArray(turns) ? turns.map(turnIn).filter((turn) => turn !== undefined) : [];
}
