/** Copies what a page holds as plain data, which a message to the worker can carry. */
import { fail, RivuletError } from '../errors';

/**
 * The most that one argument may hold: a character counts 1, an item of a list 16, an object 128. No context is that
 * long, and a copy takes at most 50 ms.
 */
const MAX_COST = 2 ** 24;
/** Also the end of a value that contains itself. */
const MAX_DEPTH = 100;

/** 'Object', 'Array', 'URL', 'File', 'Promise', … It is right for objects of other windows, and for proxies of most. */
export const kindOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

/** Runs code that touches objects of the page. @throws RequestError in place of what they throw */
export function readSafely<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RivuletError) throw error;
    fail(
      'RequestError',
      {
        what: 'The arguments of the call cannot be read',
        got: String(error),
        cure: 'Pass plain values instead of proxies.',
      },
      error,
    );
  }
}

function bitmapOf(canvas: HTMLCanvasElement | OffscreenCanvas): ImageBitmap {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  copy.getContext('2d')!.drawImage(canvas, 0, 0);
  return copy.transferToImageBitmap();
}

/**
 * A copy as JSON would make it, of proxies too: functions are left out, toJSON is used. A Map becomes an object, a Set
 * a list.
 * @param name what the value is called in an error
 * @throws RequestError for what is no data (a DOM node, a promise, bytes) and for a value that is too large
 */
export function plainCopy(value: unknown, name: string): unknown {
  let left = MAX_COST;
  const deny = (got: string): never =>
    fail('RequestError', {
      what: `${name} cannot be sent to the worker`,
      got,
      wanted: 'plain data: texts, numbers, lists and objects',
    });
  const pay = (cost: number): void => void ((left -= cost) < 0 && deny('more than 16 MB'));

  function copy(value: unknown, depth: number): unknown {
    if (typeof value === 'string') pay(value.length);
    if (typeof value === 'function' || typeof value === 'symbol') return undefined;
    if (typeof value !== 'object' || value === null) return value;
    if (depth > MAX_DEPTH) deny(`more than ${MAX_DEPTH} levels`);
    const inner = (item: unknown): unknown => copy(item, depth + 1);
    const { toJSON } = value as { toJSON?: unknown };
    if (!ArrayBuffer.isView(value) && typeof toJSON === 'function') return inner(toJSON.call(value));
    const kind = kindOf(value);
    // the pictures in parts of messages
    if (name === 'messages' && depth > 3 && /^(Blob|File|Image|VideoF)|Canvas/.test(kind)) {
      const { width, displayWidth, data } = value as Partial<ImageData & VideoFrame>;
      // closed or sent away: a call that carried it would fail without a name, or never end
      if ([width, displayWidth, data?.length].includes(0))
        fail('RequestError', {
          what: 'The picture is empty',
          got: `${kind} without pixels`,
          cure: 'Pass it before it is closed.',
        });
      return /Canvas/.test(kind) ? bitmapOf(value as HTMLCanvasElement) : value;
    }
    const collection = value as Iterable<unknown> & { size: number };
    pay(128 + 16 * (Array.isArray(value) ? value.length : /^(Map|Set)$/.test(kind) ? collection.size : 0));
    if (Array.isArray(value) || kind === 'Set') return Array.from(collection, inner);
    const entries =
      kind === 'Map'
        ? ([...collection] as [string, unknown][])
        : kind === 'Object'
          ? Object.entries(value)
          : deny(kind);
    return Object.fromEntries(
      entries.filter(([, item]) => typeof item !== 'function').map(([key, item]) => [key, inner(item)]),
    );
  }
  return readSafely(() => copy(value, 0));
}
