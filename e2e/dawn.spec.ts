/** The benchmark on Dawn in Node, as built: a few cases of the table on a Vulkan driver that computes on the CPU. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

/** SwiftShader as Chromium and Chrome bring it along, or the driver that is named. */
const DRIVER = [process.env.VK_DRIVER_FILES, '/usr/lib/chromium/vk_swiftshader_icd.json', '/opt/google/chrome/vk_swiftshader_icd.json'].find((path) => path && existsSync(path));
const run = promisify(execFile);

it.skipIf(!DRIVER)(`computes like the reference${DRIVER ? '' : ' (no Vulkan driver: install Debian’s chromium, or set VK_DRIVER_FILES)'}`, async () => {
  const root = new URL('..', import.meta.url).pathname;
  await run(process.execPath, ['node_modules/vite/bin/vite.js', 'build', '--mode', 'dawn', '--logLevel', 'warn'], { cwd: root });
  for (const only of ['embed Q6_K', 'linear Q4_0 5×', 'attend H 3']) {
    const { stdout } = await run(process.execPath, ['dist/dawn/bench.mjs', '--conformance', '--only', only, '--json'], { cwd: root, env: { ...process.env, VK_DRIVER_FILES: DRIVER } });
    expect(JSON.parse(stdout)).toMatchObject({ cases: 1, left: 0, missed: [] });
  }
});
