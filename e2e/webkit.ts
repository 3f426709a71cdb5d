/**
 * WebKitGTK's MiniBrowser, driven over plain W3C WebDriver: an engine without relaxed SIMD, shared memory or WebGPU,
 * the nearest to an old Safari.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { startDisplay } from './display';
import { cure, findWebKit, PARTS } from './system';

/** Whether the driver, its browser and a display server are installed. */
export const hasWebKit = (): boolean => !!findWebKit();

export interface WebKitPage {
  goto(url: string): Promise<void>;
  /** an expression, or a promise of one, as JSON */
  evaluate<T>(expression: string): Promise<T>;
  close(): Promise<void>;
}

/** Starts a display, the driver and one page. Every process ends with `close`. */
export async function openWebKit(): Promise<WebKitPage> {
  const found = findWebKit();
  if (!found) throw new Error(`${PARTS.webkit.name} were not found. Get them: ${cure(PARTS.webkit)}.`);
  const children: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill();
      await once(child, 'exit');
    }
  };
  try {
    const { display, process: server } = await startDisplay(found.display);
    children.push(server);
    const port = await freePort();
    children.push(
      spawn(found.driver, [`--port=${port}`], {
        stdio: 'ignore',
        env: {
          ...process.env,
          DISPLAY: display,
          WEBKIT_DISABLE_COMPOSITING_MODE: '1',
          WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1', // Chromium's --no-sandbox: the tests may run as root
          LIBGL_ALWAYS_SOFTWARE: '1',
        },
      }),
    );
    const driver = `http://127.0.0.1:${port}`;
    await answering(`${driver}/status`);
    const capabilities = {
      alwaysMatch: { 'webkitgtk:browserOptions': { binary: found.browser, args: ['--automation'] } },
    };
    const { sessionId } = await command<{ sessionId: string }>(`${driver}/session`, { capabilities });
    const session = `${driver}/session/${sessionId}`;
    await command(`${session}/timeouts`, { script: 300_000, pageLoad: 60_000 });
    // the expression is a part of the script: a page may forbid eval
    const script = (expression: string): string =>
      `const done = arguments[arguments.length - 1]; Promise.resolve().then(() => (${expression})).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    return {
      goto: (url) => command(`${session}/url`, { url }),
      async evaluate<T>(expression: string): Promise<T> {
        const { value, error } = await command<{ value: T; error?: string }>(`${session}/execute/async`, {
          script: script(expression),
          args: [],
        });
        if (error !== undefined) throw new Error(error);
        return value;
      },
      async close() {
        await fetch(session, { method: 'DELETE' }).catch(() => undefined);
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function command<T>(url: string, body: object): Promise<T> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  const { value } = (await response.json()) as { value: T & { error?: string; message?: string } };
  if (!response.ok) throw new Error(`WebDriver ${new URL(url).pathname}: ${value.error}: ${value.message}`);
  return value;
}

async function answering(url: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return;
    if (attempt === 100) throw new Error(`the WebDriver did not answer at ${url} within 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (!address || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
