import { describe, expect, it } from 'vitest';
import { plainCopy } from './plain_copy';

const copy = (value: unknown): unknown => plainCopy(value, 'messages');
/** As a framework makes what it holds reactive: each object that is read comes out as a proxy. */
const reactive = <T extends object>(value: T): T =>
  new Proxy(value, {
    get(target, key) {
      const inner: unknown = Reflect.get(target, key);
      return typeof inner === 'object' && inner !== null ? reactive(inner) : inner;
    },
  });

describe('plainCopy', () => {
  it.each<[string, unknown, unknown]>([
    [
      'plain data',
      [{ role: 'user', content: 'x', n: 1, no: null, yes: true }],
      [{ role: 'user', content: 'x', n: 1, no: null, yes: true }],
    ],
    [
      'proxies',
      reactive([{ role: 'user', content: [{ type: 'text', text: 'x' }] }]),
      [{ role: 'user', content: [{ type: 'text', text: 'x' }] }],
    ],
    ['functions and symbols', { a: 1, run: () => 0, s: Symbol('s') }, { a: 1, s: undefined }],
    [
      'addresses and dates',
      { url: new URL('https://a.example/'), at: new Date(0) },
      { url: 'https://a.example/', at: '1970-01-01T00:00:00.000Z' },
    ],
    ['a Map and a Set', { map: new Map([['a', new Set([1, 2])]]) }, { map: { a: [1, 2] } }],
    ['an object without a prototype', Object.assign(Object.create(null) as object, { a: 1 }), { a: 1 }],
    ['an object of a class', new (class { a = 1; f() {} })(), { a: 1 }], // prettier-ignore
    ['a key named __proto__', JSON.parse('{"__proto__": {"a": 1}}'), JSON.parse('{"__proto__": {"a": 1}}')],
  ])('of %s', (_, value, wanted) => {
    const got = copy(value);
    expect(got).toEqual(wanted);
    expect(structuredClone(got)).toEqual(got);
  });

  const itself: Record<string, unknown> = {};
  itself.self = itself;
  it.each<[string, unknown, RegExp]>([
    ['a promise', Promise.resolve([]), /Promise/],
    ['bytes in a message', [{ role: 'user', content: new Uint8Array(4) }], /Uint8Array/],
    ['a file', [{ role: 'user', content: new Blob(['x']) }], /Blob/],
    ['an error', new Error('x'), /Error/],
    ['a value that contains itself', itself, /100 levels/],
    [
      'an address that cannot be read',
      {
        toJSON() {
          throw new Error('of the page');
        },
      },
      /of the page/,
    ],
  ])('refuses %s', (_, value, message) => {
    expect(() => copy(value)).toThrow(
      expect.objectContaining({ name: 'RequestError', message: expect.stringMatching(message) }),
    );
  });

  it.each<[string, () => unknown]>([
    ['a text of 100 MB', () => [{ role: 'user', content: 'x'.repeat(100e6) }]],
    ['bytes of 100 MB', () => [{ role: 'user', content: new Uint8Array(100e6) }]],
    [
      'bytes of 100 MB that write themselves as JSON',
      () => Object.assign(new Uint8Array(100e6), { toJSON: () => Array.from({ length: 100e6 }) }),
    ],
    ['a list of 10 million numbers', () => Array<number>(10e6).fill(1)],
    ['a list without items, but with a length', () => Object.assign([], { length: 1e9 })],
    ['a list of a million objects', () => Array<object>(1e6).fill({ role: 'user', content: '' })],
    ['a set of 2 million numbers', () => new Set(Array.from({ length: 2e6 }, (_, i) => i))],
  ])('refuses %s at once', (_, make) => {
    const value = make();
    const began = performance.now();
    expect(() => copy(value)).toThrow(expect.objectContaining({ name: 'RequestError' }));
    expect(performance.now() - began).toBeLessThan(1000); // 50 ms on an idle machine; reading it all takes seconds
  });

  it.each<[string, () => unknown]>([
    ['an ImageData whose bytes were sent away', () => ({ width: 2, height: 2, data: new Uint8ClampedArray() })],
    ['an ImageBitmap that was closed', () => ({ width: 0, height: 0 })],
    ['a VideoFrame that was closed', () => ({ displayWidth: 0, displayHeight: 0 })],
    ['a canvas of 0 × 0 pixels', () => ({ width: 0, height: 0 })],
  ])('refuses %s, which no message could carry', (name, make) => {
    const kind = /ImageData|ImageBitmap|VideoFrame|OffscreenCanvas/.exec(`${name} OffscreenCanvas`)![0];
    const image = Object.assign(make() as object, { [Symbol.toStringTag]: kind });
    expect(() => copy([{ role: 'user', content: [{ type: 'image', image }] }])).toThrow(
      expect.objectContaining({ name: 'RequestError', what: 'The picture is empty' }),
    );
  });

  it('leaves files in parts of messages as they are, and no others', () => {
    const image = new Blob(['x']);
    const messages = [{ role: 'user', content: [{ type: 'image', image }] }];
    const [{ content: [part] }] = plainCopy(messages, 'messages') as typeof messages; // prettier-ignore
    expect(part.image).toBe(image);
    expect(() => plainCopy(messages, 'tools')).toThrow(/tools cannot be sent to the worker: got Blob/);
  });
});
