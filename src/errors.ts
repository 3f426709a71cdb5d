/**
 * The errors of Rivulet. Tell them apart by `name`: a worker cannot send an object of this class, so `instanceof` works
 * inside the worker only.
 * The page gets an Error with `name`, `message` and the parts of the message (engine/comlink_handlers.ts): `what`,
 * `got`, `wanted`, `cure`.
 *
 * | name            | when |
 * |-----------------|------|
 * | CheckpointError | a model file is malformed, unsupported or incomplete |
 * | SourceError     | bytes cannot be read or downloaded: network, hub, file, directory |
 * | StorageError    | the browser's storage is blocked, full or damaged |
 * | MemoryError     | the model or its context does not fit |
 * | DeviceError     | a backend is missing, was lost, or computes wrong results |
 * | ContextError    | the prompt is longer than the context |
 * | RequestError    | an argument of a call is not valid |
 *
 * An aborted call rejects with the platform's own `AbortError`.
 */
export type ErrorName =
  'CheckpointError' | 'SourceError' | 'StorageError' | 'MemoryError' | 'DeviceError' | 'ContextError' | 'RequestError';

/** The parts of a message: what happened, what was found, what was expected, and what to do about it. */
export interface ErrorParts {
  what: string;
  got?: string | number;
  wanted?: string | number;
  cure?: string;
}

export class RivuletError extends Error implements ErrorParts {
  declare readonly what: string;
  declare readonly got?: string;
  declare readonly wanted?: string;
  declare readonly cure?: string;

  constructor(name: ErrorName, parts: ErrorParts, cause?: unknown) {
    const what = toLine(parts.what);
    const [got, wanted] = [parts.got, parts.wanted].map((part) => (part === undefined ? undefined : toLine(part)));
    super(
      `${what}${got ? `: got ${got}` : ''}${wanted ? `, wanted ${wanted}` : ''}.${parts.cure ? ` ${parts.cure}` : ''}`,
      { cause },
    );
    Object.assign(this, { name, what, got, wanted, cure: parts.cure });
  }
}

/** A part may quote a file or another error: it becomes one line of bounded length without its full stop. */
function toLine(part: string | number): string {
  const line = String(part)
    .slice(0, 600)
    .replace(/\p{Cc}+/gu, ' ')
    .replace(/\.$/, '');
  return line.length > 400 ? `${line.slice(0, 400)}…` : line;
}

export function fail(name: ErrorName, parts: ErrorParts, cause?: unknown): never {
  throw new RivuletError(name, parts, cause);
}

/**
 * A value of a file, for a message. It is short and never throws: a parsed object may shadow toString or be deeply
 * nested.
 */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value !== 'object' || value === null) return String(value);
  if (!Array.isArray(value)) return 'an object';
  const short = value.length <= 32 && value.every((element) => typeof element !== 'object');
  return short ? `[${value.map(show).join(', ')}]` : `a list of ${value.length}`;
}

export const abortError = (): DOMException => new DOMException('The call was aborted.', 'AbortError');
