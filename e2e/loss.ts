/** The embedded miniature in a page that loses its GPU device on demand. */
import { fileURLToPath } from 'node:url';
import { launchChromium, openPage, serve } from './harness';
import type { LossCalls, Said, Turn } from './pages/loss';

export type { Said, Turn };

export interface LossPage {
  call<K extends keyof LossCalls>(name: K, ...parameters: Parameters<LossCalls[K]>): ReturnType<LossCalls[K]>;
  close(): Promise<void>;
}

export const SOURCE = '/models/rivulet-tiny.gguf';
/** WebGPU on Chromium's software adapter, WASM below it */
export const SOFTWARE = { backend: 'auto', allowSoftware: true, contextLength: 1024 } as const;

export async function openLossPage(): Promise<LossPage> {
  const server = await serve({ mounts: { '/models': fileURLToPath(new URL('../public/models', import.meta.url)) } });
  const browser = await launchChromium({ webgpu: true });
  const page = await openPage(browser, server.origin, '/e2e/pages/loss.html');
  await page.waitForFunction(() => 'loss' in window);
  return {
    call: (name, ...parameters) => page.evaluate(`loss.${name}(...${JSON.stringify(parameters)})`) as never,
    async close() {
      await browser.close();
      await server.close();
    },
  };
}
