/**
 * Speed of the vision encoder on WASM: one tile through a made-up encoder of a real shape, in headless Chromium, op by
 * op. `npm run bench:vision -- --help` explains the options.
 */
import { cpuSeconds, launchChromium, openPage, serve } from '../harness';
import type { VisionOp, VisionSpeed, VisionSpeedRequest } from '../pages/vision_speed.worker';
import { flag, oneOf, startTool, whole } from './options';

const { runs, budget, ...shape } = startTool(
  'npm run bench:vision --',
  'Encodes a tile with a made-up vision encoder on WASM: median, least and most time, and how much each op takes.',
  {
    shape: oneOf(['base', 'so400m'], 'shape of SigLIP2', 'base'),
    dtype: oneOf(['F16', 'Q8_0', 'BF16', 'F32'], 'format of the weights', 'F16'),
    layers: whole('layers', undefined, 1),
    side: whole('patches of a side of the tile', 32, 2),
    threads: whole('threads of the WASM backend', 2, 1),
    variant: oneOf(['relaxed', 'simd'], 'kernels', 'relaxed'),
    exact: flag('activations, keys and values in f32'),
    runs: whole('tiles', 5, 1),
    budget: whole('milliseconds of a measurement of an op, of which the least of three counts', 200, 1),
  },
);

const server = await serve();
const browser = await launchChromium();
try {
  const page = await openPage(browser, server.origin);
  const session = await browser.newBrowserCDPSession();
  // as text: tsx would rewrite the import() for Node
  const call = <T>(name: keyof VisionSpeed, ...values: (VisionSpeedRequest | number)[]): Promise<T> =>
    page.evaluate(
      `import('/e2e/pages/vision_speed.ts').then(({ visionSpeed }) => visionSpeed.${name}(...${JSON.stringify(values)}))`,
    ) as Promise<T>;
  console.log(await call<string>('load', shape));
  await call('run'); // the browser optimizes the kernels
  /** milliseconds of the clock and of the processor */
  const time = async (name: 'run' | 'repeat', ...arguments_: number[]): Promise<[number, number]> => {
    const before = await cpuSeconds(session);
    const clock = await call<number>(name, ...arguments_);
    return [clock, 1000 * ((await cpuSeconds(session)) - before)];
  };
  const times: [number, number][] = [];
  for (let i = 0; i < runs; i++) times.push(await time('run'));
  for (const [i, name] of ['clock', 'processor'].entries()) {
    const sorted = times.map((one) => one[i]).sort((a, b) => a - b);
    console.log(`${name}: ${sorted[runs >> 1].toFixed(0)} ms (${sorted[0].toFixed(0)}–${sorted.at(-1)!.toFixed(0)})`);
  }
  console.log('ms of the processor, by op');
  for (const { name, part, index, count, gmacs } of await call<VisionOp[]>('ops')) {
    const [once] = await time('repeat', part, index, 1);
    const repeats = Math.ceil(budget / Math.max(once, 0.1));
    let least = Infinity;
    for (let i = 0; i < 3; i++) least = Math.min(least, (await time('repeat', part, index, repeats))[1] / repeats);
    const speed = gmacs ? `   ${((1000 * gmacs) / count / least).toFixed(1)} GMAC/s` : '';
    console.log(`${String(count).padStart(3)} ${name.padEnd(20)} ${(count * least).toFixed(1).padStart(8)}${speed}`);
  }
} finally {
  await browser.close();
  await server.close();
}
