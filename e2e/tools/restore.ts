/**
 * The first token of a conversation that was saved, beside that of one whose text is read:
 * npm run bench:restore -- --model PATH
 */
import { basename, dirname, resolve } from 'node:path';
import { launchChromium, openPage, serve } from '../harness';
import type { GenerationResult } from '../../src/engine/generate';
import { spread } from '../measure';
import type { SavedPage } from '../pages/saved';
import { file, flag, oneOf, startTool, whole } from './options';

declare const saved: SavedPage;

const { model, backend, tokens, rounds, json } = startTool(
  'npm run bench:restore --',
  'Times the first token after a saved conversation is restored, and after its text is read, in headless Chromium.',
  {
    model: file('a GGUF file'),
    backend: oneOf(['wasm', 'webgpu'], 'wasm'),
    tokens: whole('of the conversation', 1000),
    rounds: whole('how often the page is opened', 5),
    json: flag('prints one JSON object'),
  },
);

const server = await serve({ mounts: { '/model': dirname(resolve(model)) } });
const browser = await launchChromium({ webgpu: backend === 'webgpu' });
try {
  const page = await openPage(browser, server.origin, '/e2e/pages/saved.html');
  const open = async (): Promise<void> => {
    await page.waitForFunction(() => 'saved' in window);
    await page.evaluate(([url, options]) => saved.load(url, options), [
      `/model/${basename(model)}`,
      { backend, allowSoftware: true, contextLength: tokens + 64 },
    ] as const);
  };
  const say = (prompt: number[]): Promise<GenerationResult> => page.evaluate((ids) => saved.say(ids), prompt);
  const conversation = (first: number): number[] =>
    Array.from({ length: tokens }, (_, i) => 1000 + ((first + i * 37) % 20_000));
  await open();
  // an answer has a few tokens, which belong to the conversation
  const answer = (await say(conversation(0))).logprobs!.map(({ id }) => id);
  const said = [...conversation(0), ...answer];
  await page.evaluate(() => saved.save());
  const [read, restored]: number[][] = [[], []];
  for (let round = 1; round <= rounds; round++) {
    await page.reload();
    await open();
    const again = await say([...said, 5000 + round]);
    if (again.reusedTokens < tokens) throw new Error(`Only ${again.reusedTokens} tokens came back.`);
    restored.push(again.firstTokenMs);
    read.push((await say([...conversation(round), ...answer, 5000 + round])).firstTokenMs);
  }
  const [readMs, restoredMs] = [spread(read), spread(restored)];
  const ratio = readMs.median / restoredMs.median;
  console.log(
    json
      ? JSON.stringify({ tokens, readMs, restoredMs, ratio })
      : `first token after ${tokens} tokens: read ${readMs.median.toFixed(0)} ms, restored ${restoredMs.median.toFixed(0)} ms, ${ratio.toFixed(1)} times sooner`,
  );
} finally {
  await browser.close();
  await server.close();
}
