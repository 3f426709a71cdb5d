/**
 * Whole models in every weight format against independently computed logits (e2e/golden): every backend, prompts in one
 * piece, in threes and one by one.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIREFOX_WEBGPU } from './system';
import { GOLDEN_DIRECTORY } from './tools/golden';
import { verify, WHOLE, type Line } from './tools/verify';
import type { Feed, VerifyOptions } from './tools/verify_page';

const expected = join(GOLDEN_DIRECTORY, 'dense');
/** the formats of the published files that are downloaded most; between them Q4_0, Q4_K and Q6_K */
const files = ['tiny-Q4_0.gguf', 'tiny-Q4_K_M.gguf'];

const upTo = (longest: number): Feed[] => [{ chunk: WHOLE, longest }];

async function linesOf(options: VerifyOptions): Promise<Line[]> {
  const lines: Line[] = [];
  expect(await verify(options, (line) => lines.push(line))).toEqual([]);
  expect(lines.length).toBeGreaterThan(0);
  return lines;
}
const holds = async (options: VerifyOptions): Promise<void> => void (await linesOf(options));

/** prompts in one piece, in threes and one by one; the software adapter takes minutes for the long ones */
const WASM_FEEDS: Feed[] = [{ chunk: WHOLE }, { chunk: 3, longest: 33 }, { chunk: 1, longest: 33 }];
const GPU_FEEDS: Feed[] = [
  { chunk: WHOLE, longest: 130 },
  { chunk: 3, longest: 33 },
  { chunk: 1, longest: 7 },
];
/** the kernels of long prefill batches make no sums over a workgroup, but for those of `rope_append` */
const SUMS_FEEDS: Feed[] = [
  { chunk: WHOLE, longest: 33 },
  { chunk: 3, longest: 7 },
  { chunk: 1, longest: 7 },
];

it.each([
  ['wasm', { backend: 'wasm', threads: 2, feeds: WASM_FEEDS }],
  ['wasm simd, 1 thread', { backend: 'wasm', threads: 1, variant: 'simd', feeds: WASM_FEEDS }],
  ['wasm exact', { backend: 'wasm', threads: 2, exact: true, feeds: WASM_FEEDS }],
  ['webgpu', { backend: 'webgpu', feeds: GPU_FEEDS }],
  ['webgpu with int8 activations', { backend: 'webgpu', int8: true, feeds: upTo(7) }],
] as const)('%s gives the expected logits, whatever the pieces of the prompt', { tags: 'chromium' }, (_, options) =>
  holds({ ...options, expected, files }),
);

it('64-bit memory gives the bits of 32-bit memory', { tags: 'chromium' }, async () => {
  const options: VerifyOptions = { backend: 'wasm', threads: 2, feeds: WASM_FEEDS, expected, files };
  expect(await linesOf({ ...options, memory64: true })).toEqual(await linesOf(options));
});

it('webgpu in Firefox, without subgroups', FIREFOX_WEBGPU, () =>
  holds({ backend: 'webgpu', browser: 'firefox', expected, files, feeds: SUMS_FEEDS }),
);

describe('the reference', () => {
  it('gives the expected logits', () => holds({ backend: 'reference', expected, files, feeds: upTo(130) }));
});

describe('LFM3', () => {
  const lfm3 = { expected: join(GOLDEN_DIRECTORY, 'lfm3') };
  const shorter: Feed[] = [{ chunk: WHOLE }, { chunk: 3, longest: 61 }, { chunk: 1, longest: 25 }];
  it.each([
    ['wasm', { backend: 'wasm', threads: 2, feeds: shorter }],
    ['wasm exact', { backend: 'wasm', threads: 2, exact: true, feeds: shorter }],
    ['webgpu', { backend: 'webgpu', files: ['tiny-Q8_0.gguf'], feeds: [{ chunk: WHOLE }, { chunk: 1, longest: 25 }] }],
  ] as const)('%s gives the expected logits', { tags: 'chromium' }, (_, options) => holds({ ...options, ...lfm3 }));

  it('webgpu in Firefox', FIREFOX_WEBGPU, () =>
    holds({ backend: 'webgpu', browser: 'firefox', files: ['tiny-Q4_0.gguf'], feeds: upTo(61), ...lfm3 }),
  );
  it('the reference', () => holds({ backend: 'reference', feeds: upTo(61), ...lfm3 }));
});

describe('a mixture of experts', () => {
  const moe = { expected: join(GOLDEN_DIRECTORY, 'moe') };
  const shorter: Feed[] = [{ chunk: WHOLE }, { chunk: 3, longest: 33 }, { chunk: 1, longest: 33 }];
  const q4 = ['tiny-Q4_0.gguf'];
  it.each([
    ['wasm, with the experts that the exact kernels choose', { backend: 'wasm', threads: 2, feeds: shorter }],
    ['wasm exact', { backend: 'wasm', threads: 2, exact: true, feeds: shorter }],
    ['webgpu', { backend: 'webgpu', files: ['fused.safetensors', 'tiny-Q4_0.gguf'], feeds: GPU_FEEDS }],
  ] as const)('%s gives the expected logits', { tags: 'chromium' }, (_, options) => holds({ ...options, ...moe }));

  it('webgpu in Firefox', FIREFOX_WEBGPU, () =>
    holds({ backend: 'webgpu', browser: 'firefox', files: q4, feeds: upTo(33), ...moe }),
  );
  it('the reference', () => holds({ backend: 'reference', feeds: upTo(33), ...moe }));
});

describe('vision', () => {
  const vision = { expected: join(GOLDEN_DIRECTORY, 'vision') };
  it.each([
    ['wasm', { backend: 'wasm', threads: 2, prompts: ['tiny', 'pair'] }],
    ['webgpu', { backend: 'webgpu', prompts: ['tiny'] }],
  ] as const)('%s gives the expected features and logits', { tags: 'chromium' }, (_, options) =>
    holds({ ...options, ...vision }),
  );
  it('webgpu in Firefox', FIREFOX_WEBGPU, () =>
    holds({ backend: 'webgpu', browser: 'firefox', prompts: ['tiny'], ...vision }),
  );
});

describe('every format', () => {
  it('wasm', { tags: 'chromium' }, () => holds({ backend: 'wasm', threads: 2, expected, feeds: upTo(130) }));
  it('wasm exact', { tags: 'chromium' }, () =>
    holds({ backend: 'wasm', threads: 2, exact: true, expected, feeds: upTo(130) }),
  );
  // three on the software adapter; `npm run verify` takes all
  it('webgpu', { tags: 'chromium' }, () =>
    holds({
      backend: 'webgpu',
      expected,
      files: ['model.safetensors', 'tiny-Q8_0.gguf', 'tiny-Q5_K_M.gguf'],
      feeds: upTo(7),
    }),
  );
  it('reference', () => holds({ backend: 'reference', expected, feeds: upTo(33) }));
});
