/**
 * This project's WASM backend beside wllama (llama.cpp in the browser), alternately, in the same Chromium build on the
 * same machine.
 * `npm run bench:peers -- --help` explains the options. Prints tokens per second of both and their ratio, medians over
 * the rounds.
 */
import { createRequire } from 'node:module';
import { basename, dirname, resolve } from 'node:path';
import { launchChromium, openPage, serve } from '../harness';
import { spread, type Spread } from '../measure';
import { bench } from './bench';
import { file, flag, startTool, whole, wholes } from './options';

interface Row {
  what: string;
  rivulet: Spread;
  wllama: Spread;
  ratio: number;
}

async function wllama(
  model: string,
  threads: number,
  prompts: number[],
  gen: number,
): Promise<{ prefill: number[]; decode: number }> {
  const home = resolve(dirname(createRequire(import.meta.url).resolve('@wllama/wllama/package.json')));
  const server = await serve({ mounts: { '/wllama': home, '/model': dirname(model) } });
  const browser = await launchChromium();
  try {
    const page = await openPage(browser, server.origin, '/e2e/pages/wllama.html');
    await page.waitForFunction(() => 'peer' in window);
    const url = JSON.stringify(`${server.origin}/model/${encodeURIComponent(basename(model))}`);
    await page.evaluate(`peer.load(${url}, ${threads}, ${Math.max(...prompts) + gen + 64})`);
    const time = (
      prompt: number,
      steps: number,
    ): Promise<{ prompt_n: number; prompt_ms: number; predicted_n: number; predicted_ms: number }> =>
      page.evaluate(`peer.time(${prompt}, ${steps})`);
    await time(16, 4);
    const timings = [];
    for (const prompt of prompts) timings.push(await time(prompt, gen));
    return {
      prefill: timings.map(({ prompt_n, prompt_ms }) => (1000 * prompt_n) / prompt_ms),
      decode: (1000 * (timings[0].predicted_n - 1)) / timings[0].predicted_ms,
    };
  } finally {
    await browser.close();
    await server.close();
  }
}

const values = startTool(
  'npm run bench:peers --',
  'Measures the WASM backend and wllama in turn, in the same Chromium.',
  {
    model: file('a GGUF file'),
    threads: whole('threads', 2, 1),
    prompt: wholes('lengths of the prompt', '128,512'),
    gen: whole('tokens to generate', 32, 1),
    rounds: whole('how often to measure both', 3, 1),
    json: flag('prints one JSON line per measurement'),
  },
);
const model = resolve(values.model);
const { threads, gen, prompt: prompts } = values;
const ours: number[][] = [...prompts, 0].map(() => []);
const theirs: number[][] = [...prompts, 0].map(() => []);

for (let round = 0; round < values.rounds; round++) {
  const peer = await wllama(model, threads, prompts, gen);
  [...peer.prefill, peer.decode].forEach((v, i) => theirs[i].push(v));
  for (const [i, prompt] of prompts.entries()) {
    const result = await bench({ model, backend: 'wasm', threads, prompt, gen, runs: 1, chunk: 256, position: 0 });
    ours[i].push(result.prefillTokensPerSecond.median);
    if (i === 0) ours[prompts.length].push(result.decodeTokensPerSecond.median);
  }
  console.error(`round ${round + 1} of ${values.rounds} done`);
}

const rows = [...prompts.map((prompt) => `prefill ${prompt}`), `decode ${gen}`].map((what, i): Row => {
  const [rivulet, peer] = [spread(ours[i]), spread(theirs[i])];
  return { what, rivulet, wllama: peer, ratio: Number((rivulet.median / peer.median).toFixed(2)) };
});
if (values.json) for (const row of rows) console.log(JSON.stringify(row));
else
  for (const { what, rivulet, wllama: peer, ratio } of rows)
    console.log(
      `${what.padEnd(12)} rivulet ${rivulet.median} tok/s (${rivulet.min} – ${rivulet.max})   wllama ${peer.median} (${peer.min} – ${peer.max})   × ${ratio}`,
    );
