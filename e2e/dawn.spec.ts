/** The benchmark on Dawn in Node, as built: a few cases of the table on a Vulkan driver that computes on the CPU. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { CONFORMANCE_CASES } from '../src/backend/conformance';
import type { Speed } from './dawn/speed';
import { findSwiftShader } from './system';

const run = promisify(execFile);

const root = new URL('..', import.meta.url).pathname;

async function bench(...args: string[]): Promise<unknown> {
  const { stdout } = await run(process.execPath, ['dist/dawn/bench.mjs', ...args, '--json'], {
    cwd: root,
    env: { ...process.env, VK_DRIVER_FILES: findSwiftShader() },
  });
  return JSON.parse(stdout);
}

describe('the benchmark on Dawn', { tags: ['vulkan', 'swiftshader'] }, () => {
  beforeAll(() =>
    run(process.execPath, ['node_modules/vite/bin/vite.js', 'build', '--mode', 'dawn', '--logLevel', 'warn'], {
      cwd: root,
    }),
  );

  it.each(['embed Q6_K', 'linear Q4_0 5×', 'attend H 3 K 1 d 32 window 5'])(
    'computes like the reference: %s',
    async (only) => {
      expect(await bench('--conformance', '--only', only)).toMatchObject({
        cases: CONFORMANCE_CASES.filter(({ name }) => name.includes(only)).length,
        left: 0,
        missed: [],
        worst: { maxAbsOverRms: expect.any(Number) },
      });
    },
  );

  it('tells speed and times by kernel of a made-up checkpoint', async () => {
    const told = (await bench(
      '--random',
      'tiny',
      '--quant',
      'q8_0',
      '--prompt',
      '4,9',
      '--gen',
      '1',
      '--profile',
    )) as Speed;
    expect(told.prefill.map(({ tokens }) => tokens)).toEqual([4, 9]);
    const { kernels, token, copyGigabytesPerSecond, emptyDispatchMicros, sampledDrawMicros } = told.profile!;
    expect(token.dispatches).toBe(told.dispatchesPerToken);
    expect(kernels.find(({ kernel }) => kernel === 'matvec.q8_0.norm 65536×256')).toMatchObject({
      dispatches: 1,
      shareOfCopy: expect.any(Number),
    });
    for (const speed of [
      told.decodeTokensPerSecond.median,
      told.sampledTokensPerSecond.median,
      copyGigabytesPerSecond,
      emptyDispatchMicros,
      sampledDrawMicros,
    ])
      expect(speed).toBeGreaterThan(0);
  });
});
