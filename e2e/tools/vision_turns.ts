/**
 * Time to the first token of a second question about a picture, against one of a text conversation of the same length:
 * a made-up LFM2-VL of 350M parameters on WASM, in headless Chromium.
 */
import { cpuSeconds, launchChromium, openPage, serve } from '../harness';
import type { Turns, VisionTurns } from '../pages/vision_turns';
import { startTool, whole } from './options';

declare const visionTurns: VisionTurns;

const { length, layers, times, rounds } = startTool(
  'npm run bench:turns --',
  'Times second questions about a picture and about a text of the same length, by turns, with a made-up model on WASM.',
  {
    length: whole('tokens of a question', 32, 1),
    layers: whole('layers of the text model', 16, 3),
    times: whole('questions of a measurement', 5, 1),
    rounds: whole('measurements of each kind', 7, 1),
  },
);

const KINDS = ['text', 'picture'] as const;

const server = await serve({ isolated: true });
const browser = await launchChromium();
try {
  const page = await openPage(browser, server.origin, '/e2e/pages/vision_turns.html');
  await page.waitForFunction(() => 'visionTurns' in window);
  console.log(await page.evaluate((given) => visionTurns.load(given), layers));
  const session = await browser.newBrowserCDPSession();
  /** milliseconds of the clock and of the processor, of a question */
  async function measure(kind: (typeof KINDS)[number]): Promise<{ turns: Turns; ms: [number, number] }> {
    await page.evaluate(([kind, length]) => visionTurns.ask(kind, 1, length), [kind, length] as const);
    const before = await cpuSeconds(session);
    const turns = await page.evaluate((given) => visionTurns.ask(...given), [kind, times, length] as const);
    const processor = 1000 * ((await cpuSeconds(session)) - before);
    // the processor counts the question before the measured ones, too
    return { turns, ms: [turns.milliseconds / times, processor / (times + 1)] };
  }
  const all: Record<(typeof KINDS)[number], [number, number][]> = { text: [], picture: [] };
  for (let round = 0; round < rounds; round++)
    for (const kind of KINDS) {
      const { turns, ms } = await measure(kind);
      all[kind].push(ms);
      if (!round) console.log(`${kind}: prompts of ${turns.promptTokens} tokens, ${turns.readTokens} of them read`);
    }
  const sorted = (values: number[]): number[] => values.sort((a, b) => a - b);
  for (const [i, name] of ['clock', 'processor'].entries()) {
    for (const kind of KINDS) {
      const each = sorted(all[kind].map((ms) => ms[i]));
      console.log(
        `${name}, ${kind}: ${each[rounds >> 1].toFixed(1)} ms (${each[0].toFixed(1)}–${each.at(-1)!.toFixed(1)})`,
      );
    }
    const ratios = sorted(all.picture.map((ms, round) => ms[i] / all.text[round][i]));
    console.log(`${name}, picture / text: ${ratios[rounds >> 1].toFixed(3)}`);
  }
} finally {
  await browser.close();
  await server.close();
}
