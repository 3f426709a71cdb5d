/** A stock Firefox, driven over WebDriver BiDi: the second WGSL compiler that the kernels must please. */
import { existsSync } from 'node:fs';
import puppeteer, { type Browser } from 'puppeteer-core';

const PLACES = ['/usr/bin/firefox-esr', '/usr/bin/firefox', '/snap/bin/firefox', '/Applications/Firefox.app/Contents/MacOS/firefox', 'C:\\Program Files\\Mozilla Firefox\\firefox.exe'];

/** $FIREFOX or the usual places; undefined where there is none, which a test must say. */
export const findFirefox = (): string | undefined => [process.env.FIREFOX, ...PLACES].find((path) => path && existsSync(path));

export function launchFirefox({ webgpu = false } = {}): Promise<Browser> {
  const executablePath = findFirefox();
  if (!executablePath) throw new Error('No Firefox found. Install it, or set FIREFOX=/path/to/the/executable.');
  return puppeteer.launch({
    browser: 'firefox',
    executablePath,
    headless: true,
    protocolTimeout: 300_000,
    extraPrefsFirefox: webgpu ? { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true } : {},
  });
}
