/**
 * Two visits of a page that loads a model with the built script, in a Chromium that nobody automates (under automation a browser keeps what it
 * fetches): time and peak memory of the first, with the download, and of the second, from the browser's storage with the model unreachable.
 *
 *   npx tsx e2e/tools/visit.ts --model PATH.gguf [--threads 2]
 *
 * One JSON line a visit. Memory is the peak of the page's renderer over that of an empty page, from /proc (Linux).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'vite';
import { chromiumArgs, findChromium, serve } from '../harness';
import { watchMemory } from '../memory';

export interface Visit {
  visit: 'first' | 'second';
  loadMs: number;
  firstTextMs: number;
  cached: boolean;
  tokens: number;
  memory: number;
  notes: string[];
  peakBytes?: number;
  peakOverFile?: number;
  error?: string;
}

async function visit(url: string, profile: string, reported: Promise<string>, marked: Promise<void>): Promise<{ report: string; peak?: number }> {
  const browser = spawn(findChromium(), ['--headless=new', `--user-data-dir=${profile}`, ...chromiumArgs({}), url], { stdio: 'ignore' });
  try {
    await marked; // the page is there, the model is not
    const memory = watchMemory(50);
    const report = await reported;
    return { report, peak: memory.stop()?.peak };
  } finally {
    const gone = new Promise((resolveGone) => browser.once('exit', resolveGone));
    browser.kill();
    await gone;
  }
}

/** @throws when a visit reports an error */
export async function visits(model: string, threads: number): Promise<Visit[]> {
  const path = resolve(model);
  await build({ mode: 'script', logLevel: 'error' });
  const { size } = statSync(path);
  const profile = mkdtempSync(join(tmpdir(), 'rivulet-visit-'));
  let report: (text: string) => void = () => undefined;
  let mark = (): void => undefined;
  let reachable = true;
  const server = await serve({
    mounts: { '/model': dirname(path), '/built': 'dist' },
    answer(request, response) {
      if (request.url?.startsWith('/model') && !reachable) return response.writeHead(503).end();
      if (request.url?.startsWith('/mark')) return (mark(), response.end());
      if (request.url === '/report') return body(request).then((text) => (response.end(), report(text)));
      return undefined; // not ours
    },
  });
  const seen: Visit[] = [];
  try {
    for (const name of ['first', 'second'] as const) {
      const reported = new Promise<string>((done) => (report = done));
      const marked = new Promise<void>((done) => (mark = done));
      const url = `${server.origin}/e2e/pages/visit.html?threads=${threads}&model=/model/${encodeURIComponent(basename(path))}`;
      const { report: text, peak } = await visit(url, profile, reported, marked);
      const result = { visit: name, ...JSON.parse(text), peakBytes: peak, peakOverFile: peak && Number((peak / size).toFixed(3)) } as Visit;
      if (result.error) throw new Error(`${name} visit: ${result.error}`);
      seen.push(result);
      reachable = false;
    }
    return seen;
  } finally {
    await server.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

const body = async (request: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
};

if (process.argv[1]?.endsWith('visit.ts')) {
  const { values } = parseArgs({ options: { model: { type: 'string' }, threads: { type: 'string', default: '2' }, json: { type: 'boolean' } } });
  if (!values.model) {
    console.error('usage: npx tsx e2e/tools/visit.ts --model PATH.gguf [--threads 2]');
    process.exit(2);
  }
  for (const line of await visits(values.model, Number(values.threads))) console.log(JSON.stringify(line));
}
