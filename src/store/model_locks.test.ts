import { afterEach, expect, it, vi } from 'vitest';
import { announceModel, copiesOf } from './model_locks';

/** Web Locks as far as they are used here. */
function stubLocks(held: string[]): void {
  vi.stubGlobal('navigator', {
    locks: {
      request: async (name: string, _: object, work: () => Promise<void>) => (held.push(name), work()),
      query: async () => ({ held: held.map((name) => ({ name })) }),
    },
  });
}
afterEach(() => void vi.unstubAllGlobals());

it('counts the copies of a model by its whole id, with the bytes of the largest', async () => {
  const held = ['rivulet:read:a/b', 'rivulet:loaded:a/b:x', 'rivulet:loaded:a/b:', 'rivulet:loaded:c:a/b:7', ''];
  stubLocks(held);
  expect(await copiesOf('a/b')).toEqual({ count: 0, memory: 0 });
  announceModel('a/b', 300);
  announceModel('a/b', 500);
  announceModel('a/b/c', 900);
  announceModel('https://host/a:b.gguf', 40);
  expect(await copiesOf('a/b')).toEqual({ count: 2, memory: 500 });
  expect(await copiesOf('https://host/a:b.gguf')).toEqual({ count: 1, memory: 40 });
  expect(await copiesOf('https://host/a')).toEqual({ count: 0, memory: 0 });
});

it('sees none where there are no locks, or a sandbox refuses them', async () => {
  const refused = () => Promise.reject(new DOMException('no', 'SecurityError'));
  for (const locks of [undefined, { request: refused, query: refused }]) {
    vi.stubGlobal('navigator', { locks });
    announceModel('a', 1);
    expect(await copiesOf('a')).toEqual({ count: 0, memory: 0 });
  }
});
