/**
 * The errors of Rivulet. They are told apart by `name`: only `{ name, message }` survives the way out of a worker.
 *
 * | name            | when |
 * |-----------------|------|
 * | CheckpointError | a model file is malformed, unsupported or incomplete |
 * | SourceError     | bytes cannot be had: network, hub, file, directory |
 * | StorageError    | the browser's storage refuses, is full, or holds damaged data |
 * | MemoryError     | the model or its context does not fit |
 * | DeviceError     | a backend is missing, was lost, or computes wrongly |
 * | ContextError    | the prompt is longer than the context |
 * | RequestError    | a call's arguments cannot be honoured |
 *
 * An aborted call rejects with the platform's own `AbortError`.
 */
export type ErrorName =
  | 'CheckpointError'
  | 'SourceError'
  | 'StorageError'
  | 'MemoryError'
  | 'DeviceError'
  | 'ContextError'
  | 'RequestError';

/** What a reader needs: what happened, what was got, what was wanted, what to do about it. */
export interface Failure {
  what: string;
  got?: string | number;
  wanted?: string | number;
  cure?: string;
}

export class RivuletError extends Error {
  constructor(name: ErrorName, { what, got, wanted, cure }: Failure, cause?: unknown) {
    const parts = [brief(what)];
    if (got !== undefined) parts.push(`got ${brief(got)}`);
    if (wanted !== undefined) parts.push(`wanted ${brief(wanted)}`);
    super(`${parts.join(': ').replace(/: wanted/, ', wanted')}.${cure ? ` ${cure}` : ''}`, { cause });
    this.name = name;
  }
}

/** Names in a message come from files: one line, of bounded length. */
function brief(part: string | number): string {
  const line = String(part).slice(0, 600).replace(/\p{Cc}+/gu, ' ');
  return line.length > 400 ? `${line.slice(0, 400)}…` : line;
}

export function fail(name: ErrorName, failure: Failure, cause?: unknown): never {
  throw new RivuletError(name, failure, cause);
}

/** A value from outside, for a message: short, and never throwing (a parsed object may shadow toString, or be nested without end). */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value !== 'object' || value === null) return String(value);
  if (!Array.isArray(value)) return 'an object';
  const short = value.length <= 32 && value.every((element) => typeof element !== 'object');
  return short ? `[${value.map(show).join(', ')}]` : `a list of ${value.length}`;
}

export const abortError = (): DOMException => new DOMException('The call was aborted.', 'AbortError');
