/**
 * Runs the shape of every published text model, as a file with random weights, through the built library in headless
 * Chromium. `npm run shapes -- --help` explains the options.
 */
import { existsSync } from 'node:fs';
import { PUBLISHED, QUANTIZATIONS, SHAPES, type PublishedName, type Shape } from '../../demo/bench/shapes';
import { launchChromium, openPage, serve, type Served } from '../harness';
import { watchMemory } from '../memory';
import type { ShapeReport, ShapesPage } from '../pages/shapes';
import { explainFailure, oneOf, someOf, startTool, whole } from './options';

declare const shapes: ShapesPage;

const NAMES = Object.keys(PUBLISHED) as PublishedName[];
const TOKENS = 8;
/** of a model that is too large to run whole on most machines */
const FIRST_LAYERS: Partial<Record<PublishedName, number>> = { 'LFM2-24B-A2B': 8 };

const values = startTool(
  'npm run shapes --',
  'Estimates, loads and runs models of the published shapes with random weights. Run `npm run build` first.',
  {
    model: someOf(NAMES, 'models', NAMES.join(',')),
    layers: whole('first layers only; LFM3 has its first window in the fifth', undefined, 5),
    quant: oneOf(Object.keys(QUANTIZATIONS), 'quantisation', 'Q4_0'),
    threads: whole('threads of the WASM backend', 2, 1),
  },
);

/** A browser of its own gives all memory back. */
async function runShape(server: Served, name: PublishedName, layers: number | undefined): Promise<ShapeReport> {
  const browser = await launchChromium();
  try {
    const page = await openPage(browser, server.origin, '/e2e/pages/shapes.html');
    await page.waitForFunction(() => 'shapes' in window);
    const memory = watchMemory();
    const { threads, quant: quantization } = values;
    const options = { backend: 'wasm' as const, threads };
    const request = { shape: PUBLISHED[name], quantization, ...(layers && { layers }), options, tokens: TOKENS };
    const report = await page.evaluate((asked) => shapes.run(asked), request);
    return { ...report, peakBytes: memory.stop()?.peak };
  } finally {
    await browser.close();
  }
}

if (!existsSync('dist/rivulet.js')) throw new Error('dist/ has no built library. Run `npm run build` first.');
const server = await serve({ mounts: { '/built': 'dist' } });
try {
  for (const name of values.model) {
    const { layers: all }: Shape = SHAPES[PUBLISHED[name]];
    const layers = Math.min(values.layers ?? FIRST_LAYERS[name] ?? all.length, all.length);
    // a page that crashes fails its model only
    const report = await runShape(server, name, layers).catch((error): Partial<ShapeReport> => ({
      problem: explainFailure(error),
    }));
    console.log(JSON.stringify({ name, layers, ...report }));
    if (report.problem !== undefined || (report.estimate?.fits && report.finish !== 'length')) process.exitCode = 1;
  }
} finally {
  await server.close();
}
