import { expect, test } from 'vitest';
import { isStoredCopy } from './stored_copy';

const SOURCE = 'LiquidAI/LFM2-350M-GGUF:Q4_0';

test.each([
  [SOURCE, true],
  ['LiquidAI/LFM2-350M-GGUF/LFM2-350M-Q4_0.gguf', true],
  ['127.0.0.1:8080/LiquidAI/LFM2-350M-GGUF/LFM2-350M-q4_0.gguf', true],
  ['LiquidAI/LFM2-350M-GGUF/LFM2-350M-Q8_0.gguf', false],
  ['LiquidAI/LFM2-350M-GGUF', false],
  ['Other/LFM2-350M-GGUF/LFM2-350M-Q4_0.gguf', false],
  ['NotLiquidAI/LFM2-350M-GGUF/LFM2-350M-Q4_0.gguf', false],
  ['https://example.org/LiquidAI/LFM2-350M-GGUF/LFM2-350M-Q4_0.gguf', false],
  ['LFM2-350M-Q4_0.gguf', false],
])('%s', (id, same) => expect(isStoredCopy(id, SOURCE)).toBe(same));

test('a file of a repository, named by its path', () => {
  const source = 'a/b/more/m-Q4_0.gguf';
  expect(isStoredCopy(source, source)).toBe(true);
  expect(isStoredCopy(`127.0.0.1:8080/${source}`, source)).toBe(true);
  expect(isStoredCopy(`${source}@v1`, source)).toBe(false);
  expect(isStoredCopy('127.0.0.1:8080/a/b/m-Q4_0.gguf', source)).toBe(false);
  expect(isStoredCopy(`https://example.org/${source}`, source)).toBe(false);
});

test('a source that is no hub id has one spelling', () => {
  expect(isStoredCopy('https://a.b/m.gguf', 'https://a.b/m.gguf')).toBe(true);
  expect(isStoredCopy('https://a.b/m.gguf?2', 'https://a.b/m.gguf')).toBe(false);
});
