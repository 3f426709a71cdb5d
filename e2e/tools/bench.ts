/**
 * Throughput of a backend on a model file, in headless Chromium. `npm run bench -- --help` explains the options.
 * Memory is the peak of the page's renderer and GPU process, minus that of an empty page.
 */
import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { isSoftwareAdapterName } from '../../src/backend/webgpu/adapter';
import { dispatchesOf, profileOf, profileTable, spread, type Profile, type Spread } from '../measure';
import { watchMemory } from '../memory';
import type { ProbeWindow } from '../pages/probe';
import { openProbe } from '../probe';
import { file, flag, oneOf, startTool, whole, wholes } from './options';

export interface BenchOptions {
  model: string;
  backend: 'wasm' | 'webgpu';
  threads?: number;
  variant?: 'simd' | 'relaxed';
  /** WASM with 64-bit memory, which a model that does not fit in 4 GiB gets in any case */
  memory64?: boolean;
  prompt: number;
  gen: number;
  runs: number;
  chunk: number;
  position: number;
  /** WebGPU on this machine's GPU in place of Chromium's software adapter */
  hardware?: boolean;
  /** positions at which prefill and decode are timed too */
  further?: number[];
  /** times by kernel too (webgpu) */
  profile?: boolean;
}

export interface BenchResult {
  model: string;
  backend: string;
  device: string;
  variant: string;
  notes: string[];
  threads?: number;
  loadSeconds: number;
  fileBytes: number;
  /** weights, state and scratch as the backend counts them */
  backendBytes: number;
  /** peak of renderer and GPU process over an empty page */
  peakBytes?: number;
  peakOverFile?: number;
  prompt: number;
  gen: number;
  position: number;
  prefillTokensPerSecond: Spread;
  decodeTokensPerSecond: Spread;
  further: { position: number; prefill: Spread; decode: Spread; ratio: number }[];
  /** weights that one decoded token must read */
  bytesPerToken: number;
  gigabytesPerSecond: number;
  gigaMacsPerSecond: { prefill: number; decode: number };
  plan: string;
  profile?: Profile;
}

/** Why --hardware does not measure a GPU. */
export const noGpu = (device: string): string =>
  `Chromium found no GPU here, only ${device}. Set $CHROMIUM_ARGS to the flags that this GPU needs.`;

export async function bench(o: BenchOptions): Promise<BenchResult> {
  const path = resolve(o.model);
  const directory = statSync(path).isDirectory() ? path : dirname(path);
  const files = statSync(path).isDirectory() ? readdirSync(path) : [basename(path)];
  const probe = await openProbe({ webgpu: o.backend === 'webgpu', adapter: o.hardware ? 'hardware' : 'swiftshader' });
  try {
    const memory = watchMemory();
    await probe.page.setInputFiles('#files', files.map((file) => resolve(directory, file))); // prettier-ignore
    const loaded = await probe.run(
      (p, a) => p.load((window as unknown as ProbeWindow).chosen(), a.options, a.compile),
      {
        options: { backend: o.backend, threads: o.threads, variant: o.variant, memory64: o.memory64 },
        compile: {
          contextLength: Math.max(o.position, o.prompt, ...(o.further ?? [])) + o.gen + 8,
          prefillBatch: o.chunk,
        },
      },
    );
    if (o.hardware && isSoftwareAdapterName(loaded.info.device)) console.error(noGpu(loaded.info.device));
    const { vocabSize: V, hiddenSize: D } = loaded.config;
    let peak: number | undefined;
    const positions = [o.position || o.prompt, ...(o.further ?? [])];
    const rates = positions.map(() => ({ prefill: [] as number[], decode: [] as number[] }));
    for (let run = -1; run < o.runs; run++) {
      for (const [i, prompt] of (run < 0 ? positions.slice(0, 1) : positions).entries()) {
        const { prefillMs, decodeMs } = await probe.run((p, a) => p.time(a.prompt, a.gen, a.chunk, a.window), {
          prompt,
          gen: o.gen,
          chunk: o.chunk,
          window: o.backend === 'webgpu' ? 16 : 1,
        });
        if (run < 0) continue; // the first run compiles
        rates[i].prefill.push((1000 * prompt) / prefillMs);
        rates[i].decode.push((1000 * o.gen) / decodeMs);
      }
      if (run < 0) peak = memory.stop()?.peak; // the watch takes time itself: none while something is timed
    }
    const fileBytes = files.reduce((sum, file) => sum + statSync(resolve(directory, file)).size, 0);
    const spreads = rates.map(({ prefill, decode }) => ({ prefill: spread(prefill), decode: spread(decode) }));
    const { prefill: prefillSpread, decode: decodeSpread } = spreads[0];
    const macs = loaded.macs;
    return {
      model: basename(path),
      backend: loaded.info.name,
      device: loaded.info.device,
      variant: loaded.info.variant,
      notes: loaded.info.notes,
      threads: loaded.info.threads,
      loadSeconds: Number(loaded.seconds.toFixed(3)),
      fileBytes,
      backendBytes: await probe.run((p) => p.memory(), undefined),
      peakBytes: peak,
      peakOverFile: peak && Number((peak / fileBytes).toFixed(3)),
      prompt: o.prompt,
      gen: o.gen,
      position: o.position,
      prefillTokensPerSecond: prefillSpread,
      decodeTokensPerSecond: decodeSpread,
      further: spreads.slice(1).map((rate, i) => ({
        position: positions[i + 1],
        ...rate,
        ratio: Number((rate.decode.median / decodeSpread.median).toFixed(3)),
      })),
      bytesPerToken: loaded.readPerToken,
      gigabytesPerSecond: Number(((loaded.readPerToken * decodeSpread.median) / 1e9).toFixed(2)),
      gigaMacsPerSecond: {
        prefill: Number((((macs - V * D) * prefillSpread.median) / 1e9).toFixed(1)),
        decode: Number(((macs * decodeSpread.median) / 1e9).toFixed(1)),
      },
      plan: await probe.run((p) => p.describe(), undefined),
      profile: o.profile
        ? profileOf(await probe.run((p, a) => p.profile(a.position, a.chunk), { position: o.position, chunk: o.chunk }))
        : undefined,
    };
  } finally {
    await probe.close();
  }
}

async function main(): Promise<void> {
  const values = startTool(
    'npm run bench --',
    'Measures the speed of a backend on a model file, in headless Chromium.',
    {
      model: file('a GGUF file or a Hugging Face directory'),
      backend: oneOf(['wasm', 'webgpu'], 'the backend to measure', 'wasm'),
      threads: whole('threads of the WASM backend', undefined, 1),
      variant: oneOf(['simd', 'relaxed'], 'kernels of the WASM backend'),
      memory64: flag('WASM with 64-bit memory for a model of any size'),
      prompt: whole('tokens of the prompt', 128, 1),
      gen: whole('tokens to generate', 64, 1),
      runs: whole('how often to measure', 3, 1),
      chunk: whole('tokens to read at a time', 256, 1),
      position: whole('tokens to read first, so that generation is timed at that position', 0),
      further: wholes('more positions to time; the result has their ratio to the first'),
      hardware: flag('WebGPU on the GPU of this machine, not on the software adapter'),
      profile: flag('times by kernel (WebGPU)'),
      json: flag('prints one JSON object'),
    },
  );
  const result = await bench(values);
  if (values.profile) {
    console.error(result.plan);
    for (const line of profileTable(result.profile)) console.error(line);
  }
  if (values.json)
    console.log(JSON.stringify({ ...result, plan: undefined, dispatchesPerToken: dispatchesOf(result.plan) }));
  else {
    const line = ({ median, min, max }: Spread): string => `${median} tok/s (${min} – ${max})`;
    const MB = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
    console.log(`${result.model} on ${result.backend}: ${result.device}, ${result.variant}`);
    for (const note of result.notes) console.log(`  ${note}`);
    console.log(
      `  load     ${result.loadSeconds} s, file ${MB(result.fileBytes)}, backend ${MB(result.backendBytes)}${result.peakBytes ? `, peak ${MB(result.peakBytes)} (${result.peakOverFile} × file)` : ''}`,
    );
    console.log(`  prefill  ${line(result.prefillTokensPerSecond)}, ${result.gigaMacsPerSecond.prefill} GMAC/s`);
    console.log(
      `  decode   ${line(result.decodeTokensPerSecond)}, ${result.gigaMacsPerSecond.decode} GMAC/s, ${result.gigabytesPerSecond} GB/s`,
    );
    for (const { position, prefill, decode, ratio } of result.further)
      console.log(`  at ${position}: prefill ${line(prefill)}, decode ${line(decode)}, ratio to the first ${ratio}`);
    console.log(`  dispatches per token: ${dispatchesOf(result.plan) ?? 'none (one call per thread)'}`);
  }
}

if (process.argv[1]?.endsWith('bench.ts')) await main();
