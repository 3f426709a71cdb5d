/** A stock Firefox, driven over WebDriver BiDi: the second WGSL compiler that the kernels must please. */
import puppeteer, { type Browser } from 'puppeteer-core';
import { cure, findFirefox, PARTS } from './system';

export { findFirefox };

export function launchFirefox({ webgpu = false } = {}): Promise<Browser> {
  const executablePath = findFirefox();
  if (!executablePath)
    throw new Error(`No Firefox was found at $FIREFOX and the usual places. Get one: ${cure(PARTS.firefox)}.`);
  return puppeteer.launch({
    browser: 'firefox',
    executablePath,
    headless: true,
    protocolTimeout: 300_000,
    extraPrefsFirefox: webgpu ? { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true } : {},
  });
}
