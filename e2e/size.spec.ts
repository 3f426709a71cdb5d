import { expect, test } from 'vitest';
import { GRAMMAR_LIMIT, LIMIT, sizes } from './tools/size';

test(`library, worker, shaders and WASM stay under ${LIMIT / 1000} KB gzip`, async () => {
  const { total, files, sideFiles, all } = await sizes();
  expect(files.every(({ raw }) => raw > 10_000)).toBe(true);
  expect(total.gzip).toBeLessThanOrEqual(LIMIT);
  const grammar = sideFiles.find(({ name }) => name === 'rivulet-grammar.js');
  expect(grammar?.gzip).toBeLessThanOrEqual(GRAMMAR_LIMIT);
  expect([...files, ...sideFiles].reduce((sum, { raw }) => sum + raw, 0)).toBe(all.raw);
});
