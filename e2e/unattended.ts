/**
 * A Chromium that nobody automates, for figures: under automation a browser keeps a copy of what it fetches, which
 * takes memory and time (ranges of
 * 8 MB arrive at half the speed of ones of 32 MB, which it does not keep). A page says what it saw by a POST to
 * /report.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromiumArgs, findChromium, serve, type ServeOptions } from './harness';

export interface Unattended {
  /**
   * Opens a page in a browser of its own, on the profile of the visits before.
   * @param marked is called when the page asks for /mark
   * @returns what the page reports; the browser has ended then
   */
  visit(path: string, marked?: () => void): Promise<string>;
  /** ends the server and deletes the profile */
  close(): Promise<void>;
}

export async function createUnattended({ answer, ...options }: ServeOptions = {}): Promise<Unattended> {
  const profile = mkdtempSync(join(tmpdir(), 'rivulet-visit-'));
  let report: (text: string) => void = () => undefined;
  let mark: (() => void) | undefined;
  const server = await serve({
    ...options,
    answer(request, response) {
      if (request.url?.startsWith('/mark')) return (mark?.(), response.end());
      if (request.url === '/report') return body(request).then((text) => (response.end(), report(text)));
      return answer?.(request, response);
    },
  });
  return {
    async visit(path, marked) {
      mark = marked;
      const reported = new Promise<string>((done) => (report = done));
      const browser = spawn(
        findChromium(),
        ['--headless=new', `--user-data-dir=${profile}`, ...chromiumArgs({}), server.origin + path],
        { detached: true, stdio: 'ignore' },
      );
      const gone = new Promise<void>((done) => browser.once('exit', () => done()));
      try {
        return await Promise.race([
          reported,
          gone.then(() => Promise.reject(new Error(`Chromium ended before ${path} reported`))),
        ]);
      } finally {
        browser.kill();
        await gone;
        end(-browser.pid!); // its helpers may go on writing into the profile
      }
    },
    async close() {
      await server.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

/** Ends a group of processes, if there still is one. */
function end(group: number): void {
  try {
    process.kill(group, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const body = async (request: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
};
