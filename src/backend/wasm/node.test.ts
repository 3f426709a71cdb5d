/**
 * Plain SIMD without a browser, on one thread: the whole conformance table against the reference, and whole models
 * against independently computed logits.
 */
import '../../modules/experts';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compare } from '../../../e2e/measure';
import { verify, WHOLE, type Line } from '../../../e2e/tools/verify';
import type { Backend } from '../backend';
import { CONFORMANCE_CASES, exceededErrorBound, runConformanceCase } from '../conformance';
import { openReferenceBackend } from '../reference/backend';
import { openWasmBackend } from './backend';

const EXPECTED = fileURLToPath(new URL('../../../e2e/golden/dense', import.meta.url));

const open = (exact: boolean): Promise<Backend> => openWasmBackend({ threads: 1, variant: 'simd', exact });

describe('the conformance table', () => {
  let backends: { exact: boolean; backend: Backend }[];
  beforeAll(async () => {
    backends = await Promise.all([true, false].map(async (exact) => ({ exact, backend: await open(exact) })));
  });
  afterAll(() => Promise.all(backends.map(({ backend }) => backend.dispose())));

  it.each(CONFORMANCE_CASES)('$name, exact and with int8 activations', async (one) => {
    const wanted = await runConformanceCase(one, openReferenceBackend());
    for (const { exact, backend } of backends) {
      const got = await runConformanceCase(one, backend);
      expect(got.length).toBe(wanted.length);
      for (const [i, outcome] of wanted.entries())
        expect(
          exceededErrorBound(
            one,
            exact ? {} : { int8Activations: true, cache: 'int16' },
            compare(one.name, outcome, got[i]),
          ),
          `${outcome.run}, exact: ${exact}`,
        ).toBeUndefined();
    }
  });
});

describe('whole models', () => {
  it.each([true, false])(
    'give the expected logits, the same bits whatever the pieces of the prompt; exact: %s',
    async (exact) => {
      const lines: Line[] = [];
      const feeds = [{ chunk: WHOLE }, { chunk: 3, longest: 33 }, { chunk: 1, longest: 7 }];
      expect(
        await verify({ expected: EXPECTED, backend: 'wasm', open: () => open(exact), exact, feeds }, (line) =>
          lines.push(line),
        ),
      ).toEqual([]);
      const [whole, pieces] = [
        lines.filter(({ chunk }) => chunk === WHOLE),
        lines.filter(({ chunk }) => chunk !== WHOLE),
      ];
      expect(new Set(pieces.map(({ chunk }) => chunk))).toEqual(new Set([3, 1]));
      for (const { file, prompt, chunk, bits } of pieces)
        expect(bits, `${file}, ${prompt}, ${chunk} at a time`).toBe(
          whole.find((line) => line.file === file && line.prompt === prompt)?.bits,
        );
      // plain SIMD gives the same bits on every machine
      const bits = [...new Set(whole.map(({ file }) => file))].map(
        (name) => `${[name, ...whole.filter(({ file }) => file === name).map((line) => line.bits)].join(' ')}\n`,
      );
      await expect(bits.join('')).toMatchFileSnapshot(`logits_${exact ? 'exact' : 'int8'}.expected.txt`);
    },
  );
});
