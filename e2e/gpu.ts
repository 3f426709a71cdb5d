/**
 * e2e/pages/gpu.ts in the browsers that have WebGPU: one page a browser for a whole file of tests, so that what comes
 * again is compiled already.
 */
import { afterAll, beforeAll } from 'vitest';
import type { DeviceOptions } from '../src/backend/webgpu/device';
import { launchFirefox } from './firefox';
import { launchChromium, openPage, serve, type Served } from './harness';
import { once } from './once';
import type { GpuPage } from './pages/gpu';
import { FIREFOX_WEBGPU, type PartName } from './system';

export type Call = <K extends keyof GpuPage>(
  method: K,
  ...args: Parameters<GpuPage[K]>
) => Promise<Awaited<ReturnType<GpuPage[K]>>>;

export interface Engine {
  name: string;
  options: DeviceOptions;
  /**
   * asked only what depends on how sums over a workgroup are made: this browser, and kernels without subgroups, are
   * asked the rest elsewhere
   */
  sums?: boolean;
  /** SwiftShader takes six times as long to compile: what needs no subgroups to be found is asked here alone */
  compilesFast?: boolean;
  tags: PartName[];
  open(): Promise<Call>;
}

interface OpenPage {
  evaluate(expression: string): Promise<unknown>;
  close(): Promise<void>;
}

const PAGE = '/e2e/pages/gpu.html';

async function openChromium(origin: string): Promise<OpenPage> {
  const browser = await launchChromium({ webgpu: true });
  const page = await openPage(browser, origin, PAGE);
  await page.waitForFunction(() => 'gpu' in window);
  return { evaluate: (expression) => page.evaluate(expression), close: () => browser.close() };
}

async function openFirefox(origin: string): Promise<OpenPage> {
  const browser = await launchFirefox({ webgpu: true });
  const page = await browser.newPage();
  await page.goto(origin + PAGE);
  await page.waitForFunction('"gpu" in window');
  return { evaluate: (expression) => page.evaluate(expression), close: () => browser.close() };
}

/** For a file of tests, which closes what it has opened. */
export function engines(): Engine[] {
  let server: Served;
  beforeAll(async () => void (server = await serve()));
  afterAll(() => server?.close());
  const caller = (open: (origin: string) => Promise<OpenPage>): (() => Promise<Call>) => {
    const page = once(() => open(server.origin));
    return async () => {
      const { evaluate } = await page();
      return (method, ...args) => evaluate(`gpu.${method}(...${JSON.stringify(args)})`) as never;
    };
  };
  const [chromium, firefox] = [caller(openChromium), caller(openFirefox)];
  return [
    { name: 'Chromium, subgroups of 4', options: { subgroups: true }, tags: ['chromium'], open: chromium },
    { name: 'Chromium, no subgroups', options: { subgroups: false }, sums: true, tags: ['chromium'], open: chromium },
    { name: 'Firefox, no subgroups', options: {}, compilesFast: true, ...FIREFOX_WEBGPU, open: firefox },
  ];
}
