/** Before the browser tests: a Chromium, without which nothing runs, and on a CI machine the other engines too, whose tests are skipped where they are absent. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { findFirefox } from './firefox';
import { findChromium } from './harness';
import { hasWebKit } from './webkit';

export default function setup(): void {
  findChromium();
  const wanted = [...(findFirefox() ? [] : ['firefox-esr', 'mesa-vulkan-drivers']), ...(hasWebKit() ? [] : ['webkit2gtk-driver', 'xvfb'])];
  if (!wanted.length || !process.env.CI || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return;
  try {
    for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...wanted]])
      execFileSync('apt-get', args, { stdio: ['ignore', 2, 2], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
  } catch (error) {
    console.error(`${wanted.join(', ')} could not be installed, the tests in these browsers are skipped: ${String(error)}`);
  }
}
