/**
 * Two visits of a page that loads a model with the built script, in a Chromium that nobody automates: time and peak memory of the first, with
 * the download, and of the second, from the browser's storage with the model unreachable.
 *
 *   npx tsx e2e/tools/visit.ts --model PATH.gguf [--threads 2]
 *
 * One JSON line a visit. Memory is the peak of the page's renderer over that of an empty page, from /proc (Linux).
 */
import { statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'vite';
import { watchMemory } from '../memory';
import { createUnattended } from '../unattended';

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

/** @throws when a visit reports an error */
export async function visits(model: string, threads: number): Promise<Visit[]> {
  const path = resolve(model);
  await build({ mode: 'script', logLevel: 'error' });
  const { size } = statSync(path);
  let reachable = true;
  const browser = await createUnattended({
    mounts: { '/model': dirname(path), '/built': 'dist' },
    answer: (request, response) => (request.url?.startsWith('/model') && !reachable ? response.writeHead(503).end() : undefined),
  });
  const seen: Visit[] = [];
  try {
    for (const name of ['first', 'second'] as const) {
      let memory: ReturnType<typeof watchMemory> | undefined;
      const marked = (): void => void (memory = watchMemory(50)); // the page is there, the model is not
      const text = await browser.visit(`/e2e/pages/visit.html?threads=${threads}&model=/model/${encodeURIComponent(basename(path))}`, marked);
      const peak = memory?.stop()?.peak;
      const result = { visit: name, ...JSON.parse(text), peakBytes: peak, peakOverFile: peak && Number((peak / size).toFixed(3)) } as Visit;
      if (result.error) throw new Error(`${name} visit: ${result.error}`);
      seen.push(result);
      reachable = false;
    }
    return seen;
  } finally {
    await browser.close();
  }
}

if (process.argv[1]?.endsWith('visit.ts')) {
  const { values } = parseArgs({ options: { model: { type: 'string' }, threads: { type: 'string', default: '2' }, json: { type: 'boolean' } } });
  if (!values.model) {
    console.error('usage: npx tsx e2e/tools/visit.ts --model PATH.gguf [--threads 2]');
    process.exit(2);
  }
  for (const line of await visits(values.model, Number(values.threads))) console.log(JSON.stringify(line));
}
