import { expect, test } from 'vitest';
import { sharedIn } from './launch';

test.each([
  ['?text=Hello', 'Hello', ''],
  ['?title=A+page&text=Look&url=https%3A%2F%2Fexample.org%2F', 'A page\nLook\nhttps://example.org/', ''],
  ['?text=Look%20https%3A%2F%2Fexample.org%2F&url=https%3A%2F%2Fexample.org%2F', 'Look https://example.org/', ''],
  ['?q=Set%20a%20timer%20for%205%20minutes&backend=wasm', 'Set a timer for 5 minutes', '?backend=wasm'],
  ['?title=Same&text=Same', 'Same', ''],
  ['?backend=wasm&title=&text=%20', '', '?backend=wasm'],
  ['?model=a/b#top', '', '?model=a/b#top'],
])('%s', (query, text, rest) => {
  const shared = sharedIn(`https://host.example/chat/${query}`);
  expect(shared.text).toBe(text);
  expect(decodeURIComponent(shared.rest)).toBe(`https://host.example/chat/${rest}`);
});
