/**
 * What speculation by prompt lookup gains and loses on WASM: the same answers with and without it, alternately, in the
 * built library in headless Chromium. `npm run bench:speculation -- --help` explains the options.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SHAPES } from '../../demo/bench/shapes';
import { ARRAY, BOOL, I32, STRING } from '../../src/format/gguf_writer';
import { cpuSeconds, launchChromium, openPage, serve } from '../harness';
import { spread } from '../measure';
import type { SpeculationPage, SpeculationTask } from '../pages/speculation';
import { startTool, text, whole } from './options';
import { generator, ggufBytes, tinyModel } from './tiny';

declare const speculation: SpeculationPage;

const VOCABULARY = 65536;
/** The token that the made-up model says after this one: all tokens in turn. */
const after = (token: number): number => (5 * token + 12345) % VOCABULARY;

/**
 * The shape of LFM2-350M in Q4_0. The maps that add to the residual stream are zero, and the row of the head for a
 * token is the embedding of the one before it, so the model says `after`. It takes the time of any other model.
 */
function chainModel(): Uint8Array {
  const { layers: kinds, hiddenSize: hidden, ffnSize: ffn, heads, kvHeads } = SHAPES['350m'];
  const layers = kinds.map((kind) => (kind === 'conv' ? kind : 'attention'));
  const model = tinyModel({
    hidden, ffn, layers, heads, kvHeads, headDim: 64, vocab: VOCABULARY, tied: false, dtype: 'Q4_0',
    contextLength: 4096,
  }); // prettier-ignore
  const bytesOf = (name: string): Uint8Array => model.tensors.find((tensor) => tensor.name === name)!.bytes;
  for (const { name, bytes } of model.tensors) if (/(attn_output|out_proj|ffn_down)\.weight/.test(name)) bytes.fill(0);
  const [embeddings, head] = [bytesOf('token_embd.weight'), bytesOf('output.weight')];
  const row = head.length / VOCABULARY;
  for (let token = 0; token < VOCABULARY; token++)
    head.set(embeddings.subarray(token * row, (token + 1) * row), after(token) * row);
  const words = Array.from({ length: VOCABULARY }, (_, i) => `Ġ${i.toString(36)}`);
  Object.assign(model.metadata, {
    'tokenizer.ggml.tokens': [ARRAY, STRING, words],
    'tokenizer.ggml.token_type': [ARRAY, I32, words.map(() => 1)],
    'tokenizer.ggml.merges': [ARRAY, STRING, []],
    'tokenizer.ggml.add_bos_token': [BOOL, false],
  });
  for (const key of ['bos', 'eos', 'padding']) delete model.metadata[`tokenizer.ggml.${key}_token_id`];
  return ggufBytes(model);
}

/** A prompt with what the model will say, where of `every` tokens one is another. */
function copyTask(name: string, tokens: number, every: number): SpeculationTask {
  const random = generator(every);
  const prompt = [7];
  for (let i = 0, said = 7; i < tokens; i++) {
    said = after(said);
    prompt.push(i % every === every - 1 ? Math.floor(random() * VOCABULARY) : said);
  }
  return { name, prompt: [...prompt, 7], options: { temperature: 0, maxTokens: tokens } };
}

/** Random tokens out of so many, all as likely. */
function randomTask(name: string, tokens: number, among: number, round: number): SpeculationTask {
  const random = generator(among + round);
  const bias = Object.fromEntries(Array.from({ length: among < VOCABULARY ? among : 0 }, (_, i) => [i, 100]));
  return {
    name,
    prompt: Array.from({ length: 64 }, () => Math.floor(random() * among)),
    options: { temperature: 5, topK: 0, topP: 1, minP: 0, seed: round, maxTokens: tokens, bias },
  };
}

const values = startTool(
  'npm run bench:speculation --',
  'Measures answers with and without speculation, alternately, on WASM. Run `npm run build` first.',
  {
    threads: whole('threads of the WASM backend', 2, 1),
    gen: whole('tokens of an answer', 256, 16),
    rounds: whole('rounds', 5, 1),
    only: text('words', 'only the tasks with these words in their names', ''),
  },
);

const { threads, gen, rounds } = values;
if (!existsSync('dist/rivulet.js')) throw new Error('dist/ has no built library. Run `npm run build` first.');
const folder = mkdtempSync(join(tmpdir(), 'rivulet-speculation-'));
const server = await serve({ mounts: { '/built': 'dist' } });
const browser = await launchChromium();
try {
  const model = join(folder, 'chain-350m.gguf');
  writeFileSync(model, chainModel());
  const page = await openPage(browser, server.origin, '/e2e/pages/speculation.html');
  await page.waitForFunction(() => 'speculation' in window);
  await page.setInputFiles('#file', model);
  console.log(await page.evaluate((asked) => speculation.load(asked), { threads }));
  const tasks = (round: number): SpeculationTask[] => [
    copyTask('a copy', gen, Infinity),
    copyTask('a copy, 1 of 32 tokens changed', gen, 32),
    copyTask('a copy, 1 of 16 tokens changed', gen, 16),
    randomTask('random text of 65,536 tokens', gen, VOCABULARY, round),
    randomTask('random text of 16 tokens', gen, 16, round),
    randomTask('random text of 4 tokens', gen, 4, round),
  ];
  const session = await browser.newBrowserCDPSession();
  type Rates = Record<'wall' | 'cpu', { off: number[]; on: number[] }>;
  const rates = new Map<string, Rates>();
  for (let round = 0; round <= rounds; round++)
    for (const task of tasks(round)) {
      if (!task.name.includes(values.only)) continue;
      const rate: Rates = rates.get(task.name) ?? { wall: { off: [], on: [] }, cpu: { off: [], on: [] } };
      const texts = new Set<string>();
      for (const which of round % 2 ? (['on', 'off'] as const) : (['off', 'on'] as const)) {
        await page.evaluate(([one, it]) => speculation.read(one, it), [which, task] as const);
        const before = await cpuSeconds(session);
        const result = await page.evaluate(([one, it]) => speculation.answer(one, it), [which, task] as const);
        const seconds = (await cpuSeconds(session)) - before;
        texts.add(result.text);
        if (round === 0) continue; // compiles
        rate.wall[which].push(result.rate);
        rate.cpu[which].push(gen / seconds);
        rates.set(task.name, rate);
      }
      if (texts.size > 1) throw new Error(`${task.name}: the texts differ`);
    }
  for (const [name, rate] of rates)
    for (const [clock, { off, on }] of Object.entries(rate)) {
      const { median, min, max } = spread(on.map((value, i) => value / off[i]));
      const [without, with_] = [off, on].map((all) => spread(all).median);
      console.log(`${name}: ${without} → ${with_} tokens per second of ${clock}, × ${median} (${min}–${max})`);
    }
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true });
}
