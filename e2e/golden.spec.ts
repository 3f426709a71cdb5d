/**
 * Whole models against independently computed logits (e2e/golden): every backend, prompts in one piece, in threes and one by one.
 * With ../shared/golden beside the checkout every weight format is covered as well.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { findFirefox } from './firefox';
import { verify, type Line, type VerifyOptions } from './tools/verify';

const own = fileURLToPath(new URL('./golden/dense', import.meta.url));
const shared = fileURLToPath(new URL('../../shared/golden/A/dense', import.meta.url));

async function holds(options: VerifyOptions): Promise<void> {
  const lines: Line[] = [];
  expect(await verify(options, (line) => lines.push(line))).toEqual([]);
  expect(lines.length).toBeGreaterThan(0);
}

describe.each([
  ['wasm', { backend: 'wasm', threads: 2 }],
  ['wasm simd, 1 thread', { backend: 'wasm', threads: 1, variant: 'simd' }],
  ['wasm exact', { backend: 'wasm', threads: 2, exact: true }],
  ['webgpu', { backend: 'webgpu' }],
  ['webgpu without subgroups', { backend: 'webgpu', subgroups: false }],
] as const)('%s', (name, options) => {
  const gpu = name.startsWith('webgpu');
  const longest = gpu ? 130 : undefined; // the software adapter takes minutes for the long ones
  it('gives the expected logits', () => holds({ ...options, expected: own, longest }));
  it('whatever the pieces of the prompt', async () => {
    await holds({ ...options, expected: own, longest: 33, chunk: 3, file: 'tiny-Q4_0.gguf' });
    await holds({ ...options, expected: own, longest: gpu ? 7 : 33, chunk: 1, file: 'tiny-Q4_K_M.gguf' });
  });
});

it('webgpu with int8 activations', () => holds({ backend: 'webgpu', int8: true, expected: own, longest: 7 }));
it.skipIf(!findFirefox())(`webgpu in Firefox${findFirefox() ? '' : ' (not installed)'}`, () => holds({ backend: 'webgpu', browser: 'firefox', expected: own, longest: 33 }));

describe('the reference', () => {
  it('gives the expected logits', () => holds({ backend: 'reference', expected: own, longest: 130 }));
});

const rest = existsSync(shared);
if (!rest) console.warn('../shared/golden is not here: the formats that e2e/golden does not hold are not compared with whole models');
describe.runIf(rest)('formats of ../shared/golden', () => {
  it('wasm', () => holds({ backend: 'wasm', threads: 2, expected: shared, longest: 130 }));
  it('wasm exact', () => holds({ backend: 'wasm', threads: 2, exact: true, expected: shared, longest: 130 }));
  // three on the software adapter, which takes 15 s for each; `npm run verify` takes all
  it.each(['model.safetensors', 'tiny-Q8_0.gguf', 'tiny-Q5_K_M.gguf'])('webgpu: %s', (file) => holds({ backend: 'webgpu', expected: shared, file, longest: 7 }));
  it('reference', () => holds({ backend: 'reference', expected: shared, longest: 33 }));
});
