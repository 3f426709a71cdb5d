/**
 * What a tool of the page is, and what it needs of the page. No tool touches the DOM itself, so that each runs in a
 * unit test.
 */
import type { ToolCall } from '../../../src/index';

export type { ToolCall };

/** An argument, in the part of JSON schema that chat templates show. */
export interface Parameter {
  type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object';
  description?: string;
  enum?: readonly unknown[];
}

/** What the model is told of a tool. */
export interface Definition {
  name: string;
  description: string;
  parameters: { type: 'object'; properties: Record<string, Parameter>; required?: readonly string[] };
}

/**
 * What a call changes.
 * - 'none': nothing; it answers.
 * - 'page': what the page shows or plays, or something that ends by itself, such as a timer. The user takes it back on
 * the card.
 * - 'lasting': what stays on this device until the user removes it, such as a note. `runCall` asks for consent first.
 */
export type Changes = 'none' | 'page' | 'lasting';

export type IconName =
  | 'timer'
  | 'alarm'
  | 'clock'
  | 'calculator'
  | 'ruler'
  | 'note'
  | 'task'
  | 'theme'
  | 'volume'
  | 'search'
  | 'section'
  | 'zoom'
  | 'speech';

/** A timer or alarm that runs. */
export interface Timer {
  id: string;
  kind: 'timer' | 'alarm';
  /** plain words: 'Timer for 10 minutes' */
  title: string;
  /** milliseconds since 1970 */
  start: number;
  end: number;
}

/** An entry that the call added: `removeEntry` takes it back. */
export interface Entry {
  list: 'notes' | 'todos';
  id: string;
  text: string;
  /** milliseconds since 1970 */
  added: number;
}

export interface Result {
  /** for the model, as JSON */
  value: Record<string, unknown>;
  /**
   * the same in a word or number: the demo model was trained on such results ('16:20', '8.3', 'ok'), and repeats a unit
   * that follows
   */
  brief: string;
  /** for the card: a plain sentence */
  summary: string;
  /** the timer that this call started */
  live?: Timer;
  /** the note or task that this call added */
  entry?: Entry;
}

export interface PageTool {
  definition: Definition;
  /** plain words, for the card and the settings */
  title: string;
  icon: IconName;
  changes: Changes;
  /** The arguments have been checked against the definition. What cannot be done is thrown as a `ToolError`. */
  run(given: Record<string, unknown>, host: PageHost): Result | Promise<Result>;
}

/** A call that is understood and cannot be done: the message is for the person and for the model. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
}

/**
 * A call with a name that the page does not have, such as of a section: it was not understood, and nothing was tried.
 */
export class UnknownNameError extends ToolError {}

export interface PageHost {
  /** milliseconds since 1970 */
  now(): number;
  /** the IANA name of the user's time zone */
  timeZone(): string;
  themes(): readonly string[];
  theme(): string;
  setTheme(name: string): void;
  /** text size in percent */
  zoom(): number;
  setZoom(percent: number): void;
  /** of the tools' sounds, 0 to 100 */
  volume(): number;
  setVolume(percent: number): void;
  /** names that `openSection` takes */
  sections(): readonly string[];
  openSection(name: string): void | Promise<void>;
  /** shows where the text is, and says in how many places */
  findText(query: string): number | Promise<number>;
  /** names that `textOf` takes: 'last answer' and sections of the page */
  readable(): readonly string[];
  textOf(name: string): string | undefined;
  /** resolves as soon as the voice speaks; 'no voice': the device has none of its own */
  speak(text: string): Promise<'speaking' | 'no voice'>;
  /** plays the tone at the present volume */
  ring(): void | Promise<void>;
  /** shows a notification where the user permits it */
  notify(title: string): void | Promise<void>;
  /** told when a timer has rung, ended while the page was closed, or is cancelled: the card changes */
  timerEnded?(timer: Timer, how: 'rang' | 'missed' | 'cancelled'): void;
  storage: PageStorage;
  /** Calls the action at that time, however long away; returns what cancels it. */
  schedule(at: number, action: () => void): () => void;
}

export interface PageStorage {
  get(key: string): Promise<unknown>;
  /** Replaces a value by what `change` makes of it, as one step that no other tab comes between. */
  update(key: string, change: (old: unknown) => unknown): Promise<void>;
}

/** A definition all of whose arguments are required. */
export const define = (name: string, description: string, properties: Record<string, Parameter>): Definition => ({
  name,
  description,
  parameters: { type: 'object', properties, required: Object.keys(properties) },
});
