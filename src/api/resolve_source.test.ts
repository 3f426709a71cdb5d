import { afterEach, describe, expect, it, vi } from 'vitest';
import { absoluteHub, readFile, readSource } from './resolve_source';

afterEach(() => vi.unstubAllGlobals());

describe('readSource', () => {
  it('resolves addresses against the page, in every form', () => {
    vi.stubGlobal('location', { href: 'https://site.example/app/' });
    const at = 'https://site.example/app/m.gguf';
    expect(readSource('./m.gguf')).toBe(at);
    expect(readSource(' ./m.gguf\n')).toBe(at);
    expect(readSource(new URL(at))).toBe(at);
    expect(readSource({ url: './m.gguf' })).toEqual({ url: [at] });
    expect(readSource({ url: new URL(at) })).toEqual({ url: [at] });
    expect(readSource(new Proxy({ url: new Proxy(['../m.gguf', '/m.gguf'], {}) }, {}))).toEqual({
      url: ['https://site.example/m.gguf', 'https://site.example/m.gguf'],
    });
    expect(absoluteHub({ hub: '/hub' })).toEqual({ hub: 'https://site.example/hub' });
  });

  it.each(['Org/Repo:Q4_0', 'models/m.gguf', './no-page.gguf', 'own.gguf', 'https://a.example/m.gguf'])(
    'leaves %s as it is',
    (text) => expect(readSource(text)).toBe(text),
  );

  it('takes blobs without a copy of their bytes, and says which file a proxy hides', () => {
    const blob = new Blob(['GGUF']);
    expect(readSource(blob)).toBeInstanceOf(Blob);
    expect(readSource({ file: blob, name: 'a.gguf' })).toMatchObject({ file: expect.any(Blob), name: 'a.gguf' });
    expect(readSource({ files: [blob, blob] })).toMatchObject({ files: [expect.any(Blob), expect.any(Blob)] });
    expect(readFile(blob)).toBeInstanceOf(Blob);
    expect(() => readSource({ file: new Proxy(blob, {}) })).toThrow(expect.objectContaining({ name: 'RequestError' }));
  });

  const refused: [string, () => unknown, RegExp][] = [
    ['nothing', () => undefined, /Undefined/],
    ['null', () => null, /Null/],
    ['a number', () => 5, /Number/],
    ['a promise', () => Promise.resolve('./m.gguf'), /Promise.*Await a promise/],
    ['bytes', () => new Uint8Array(100e6), /Uint8Array.*into a Blob/],
    ['a buffer', () => new ArrayBuffer(100e6), /ArrayBuffer/],
    ['an answer', () => new Response('x'), /Response/],
    ['a file of bytes', () => ({ file: new Uint8Array(100e6) }), /file/],
    ['a list of numbers', () => ({ files: [1] }), /files/],
    ['a list of nothing', () => ({ files: [] }), /files/],
    ['an address that is a number', () => ({ url: 5 }), /url/],
    ['another object', () => ({ path: 'm.gguf' }), /path/],
    ['an empty object', () => ({}), /an empty object/],
    ['a function', () => () => './m.gguf', /Function/],
    ['an address of 100 MB', () => `data:,${'x'.repeat(100e6)}`, /String/],
    [
      'a relative address in a page whose own address is no base',
      () => (vi.stubGlobal('location', { href: 'about:srcdoc' }), './m.gguf'),
      /"\.\/m\.gguf" at about:srcdoc\. Write the whole address/,
    ],
    [
      'a relative address in a worker from a blob',
      () => (vi.stubGlobal('location', { href: 'blob:https://a.example/0-1' }), { url: ['/m.gguf'] }),
      /Write the whole address/,
    ],
  ];
  it.each(refused)('refuses %s at once', (_, make, message) => {
    const source = make();
    const began = performance.now();
    expect(() => readSource(source)).toThrow(
      expect.objectContaining({ name: 'RequestError', message: expect.stringMatching(message) }),
    );
    expect(performance.now() - began).toBeLessThan(500); // 50 ms on an idle machine
  });

  it.each([5, 'm.gguf', { file: new Blob() }, new Uint8Array(4)])('%o is no file', (file) =>
    expect(() => readFile(file)).toThrow(expect.objectContaining({ name: 'RequestError' })),
  );
});
