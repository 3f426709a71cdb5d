/**
 * Two visits of a page that loads a model with the built script, in a Chromium that nobody automates: time and peak
 * memory of the first, with the download, and of the second, from the browser's storage with the model unreachable.
 *
 *   npm run bench:visit -- --model PATH [--threads 2]
 *
 * One JSON line a visit. Memory is the peak of the page's renderer over that of an empty page, from /proc (Linux).
 */
import { statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { build } from 'vite';
import { watchMemory } from '../memory';
import { createUnattended } from '../unattended';
import { file, flag, startTool, whole } from './options';

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
    answer: (request, response) =>
      request.url?.startsWith('/model') && !reachable ? response.writeHead(503).end() : undefined,
  });
  const seen: Visit[] = [];
  try {
    for (const name of ['first', 'second'] as const) {
      let memory: ReturnType<typeof watchMemory> | undefined;
      const marked = (): void => void (memory = watchMemory(50)); // the page is there, the model is not
      const text = await browser.visit(
        `/e2e/pages/visit.html?threads=${threads}&model=/model/${encodeURIComponent(basename(path))}`,
        marked,
      );
      const peak = memory?.stop()?.peak;
      const result = {
        visit: name,
        ...JSON.parse(text),
        peakBytes: peak,
        peakOverFile: peak && Number((peak / size).toFixed(3)),
      } as Visit;
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
  const values = startTool(
    'npm run bench:visit --',
    'Measures the first and the second visit of a page that loads a model.',
    {
      model: file('a GGUF file'),
      threads: whole('threads', 2, 1),
      json: flag('no effect: the output is always JSON'),
    },
  );
  for (const line of await visits(values.model, values.threads)) console.log(JSON.stringify(line));
}
