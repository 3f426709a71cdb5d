/**
 * Throughput of a backend on a model file, in headless Chromium.
 *
 *   npm run bench -- --model PATH --backend wasm|webgpu [--threads N] [--prompt 128] [--gen 64] [--runs 3] [--chunk N] [--variant simd|relaxed]
 *                    [--position N] [--further N,N] [--hardware] [--profile] [--json]
 *
 * PATH is a GGUF file or a Hugging Face directory. `--position N` reads N tokens first, so that decode is timed at that position;
 * `--further` does the same at other positions, in turn, and prints their ratio to the first.
 * Memory is the peak of the page's renderer and GPU process over an empty page.
 */
import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isSoftware } from '../../src/backend/webgpu/adapter';
import { dispatchesOf, profileOf, profileTable, spread, type Profile, type Spread } from '../measure';
import { watchMemory } from '../memory';
import type { ProbeWindow } from '../pages/probe';
import { openProbe } from '../probe';

export interface BenchOptions {
  model: string;
  backend: 'wasm' | 'webgpu';
  threads?: number;
  variant?: 'simd' | 'relaxed';
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

export async function bench(o: BenchOptions): Promise<BenchResult> {
  const path = resolve(o.model);
  const directory = statSync(path).isDirectory() ? path : dirname(path);
  const files = statSync(path).isDirectory() ? readdirSync(path) : [basename(path)];
  const probe = await openProbe({ webgpu: o.backend === 'webgpu', adapter: o.hardware ? 'hardware' : 'swiftshader' });
  try {
    const memory = watchMemory();
    await probe.page.setInputFiles('#files', files.map((file) => resolve(directory, file))); // prettier-ignore
    const loaded = await probe.run((p, a) => p.load((window as unknown as ProbeWindow).chosen(), a.options, a.compile), {
      options: { backend: o.backend, threads: o.threads, variant: o.variant },
      compile: { contextLength: Math.max(o.position, o.prompt, ...(o.further ?? [])) + o.gen + 8, chunk: o.chunk },
    });
    if (o.hardware && isSoftware(loaded.info.device)) console.error(`Chromium offers no GPU here, only ${loaded.info.device}: $CHROMIUM_ARGS may name flags that this GPU needs.`);
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
      further: spreads.slice(1).map((rate, i) => ({ position: positions[i + 1], ...rate, ratio: Number((rate.decode.median / decodeSpread.median).toFixed(3)) })),
      bytesPerToken: loaded.bytes,
      gigabytesPerSecond: Number(((loaded.bytes * decodeSpread.median) / 1e9).toFixed(2)),
      gigaMacsPerSecond: {
        prefill: Number((((macs - V * D) * prefillSpread.median) / 1e9).toFixed(1)),
        decode: Number(((macs * decodeSpread.median) / 1e9).toFixed(1)),
      },
      plan: await probe.run((p) => p.describe(), undefined),
      profile: o.profile ? profileOf(await probe.run((p, a) => p.profile(a.position, a.chunk), { position: o.position, chunk: o.chunk })) : undefined,
    };
  } finally {
    await probe.close();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      backend: { type: 'string', default: 'wasm' },
      threads: { type: 'string' },
      variant: { type: 'string' },
      prompt: { type: 'string', default: '128' },
      gen: { type: 'string', default: '64' },
      runs: { type: 'string', default: '3' },
      chunk: { type: 'string', default: '256' },
      position: { type: 'string', default: '0' },
      further: { type: 'string' },
      hardware: { type: 'boolean' },
      profile: { type: 'boolean' },
      json: { type: 'boolean' },
    },
  });
  if (!values.model || !['wasm', 'webgpu'].includes(values.backend)) {
    console.error('usage: npm run bench -- --model PATH --backend wasm|webgpu [--threads N] [--prompt 128] [--gen 64] [--runs 3] [--chunk 256] [--position N] [--hardware] [--profile] [--json]');
    process.exit(2);
  }
  const result = await bench({
    model: values.model,
    backend: values.backend as 'wasm' | 'webgpu',
    threads: values.threads ? Number(values.threads) : undefined,
    variant: values.variant as 'simd' | 'relaxed' | undefined,
    prompt: Number(values.prompt),
    gen: Number(values.gen),
    runs: Number(values.runs),
    chunk: Number(values.chunk),
    position: Number(values.position),
    further: values.further?.split(',').map(Number),
    hardware: values.hardware,
    profile: values.profile,
  });
  if (values.profile) {
    console.error(result.plan);
    for (const line of profileTable(result.profile)) console.error(line);
  }
  if (values.json) console.log(JSON.stringify({ ...result, plan: undefined, dispatchesPerToken: dispatchesOf(result.plan) }));
  else {
    const line = ({ median, min, max }: Spread): string => `${median} tok/s (${min} – ${max})`;
    const MB = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
    console.log(`${result.model} on ${result.backend}: ${result.device}, ${result.variant}`);
    for (const note of result.notes) console.log(`  ${note}`);
    console.log(`  load     ${result.loadSeconds} s, file ${MB(result.fileBytes)}, backend ${MB(result.backendBytes)}${result.peakBytes ? `, peak ${MB(result.peakBytes)} (${result.peakOverFile} × file)` : ''}`);
    console.log(`  prefill  ${line(result.prefillTokensPerSecond)}, ${result.gigaMacsPerSecond.prefill} GMAC/s`);
    console.log(`  decode   ${line(result.decodeTokensPerSecond)}, ${result.gigaMacsPerSecond.decode} GMAC/s, ${result.gigabytesPerSecond} GB/s`);
    for (const { position, prefill, decode, ratio } of result.further)
      console.log(`  at ${position}: prefill ${line(prefill)}, decode ${line(decode)}, ${ratio} of the first`);
    console.log(`  dispatches a token: ${dispatchesOf(result.plan) ?? 'none, one call a thread'}`);
  }
}

if (process.argv[1]?.endsWith('bench.ts')) await main();
