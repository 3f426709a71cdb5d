/** llama.cpp in the browser (npm package @wllama/wllama), timed by its own counters. Served under /wllama. */

interface Timings {
  prompt_n: number;
  prompt_ms: number;
  predicted_n: number;
  predicted_ms: number;
}

interface Wllama {
  loadModel(blobs: Blob[], options: object): Promise<void>;
  createCompletion(options: object): Promise<{ timings?: Timings }>;
}

let engine: Wllama;

const peer = {
  async load(url: string, threads: number, contextLength: number): Promise<number> {
    const { Wllama } = (await import(/* @vite-ignore */ `${location.origin}/wllama/esm/index.js`)) as {
      Wllama: new (paths: object, config: object) => Wllama;
    };
    const start = performance.now();
    engine = new Wllama({ default: '/wllama/src/wasm/wllama.wasm' }, { suppressNativeLog: true });
    const model = await (await fetch(url)).blob();
    await engine.loadModel([model], {
      n_threads: threads,
      n_ctx: contextLength,
      n_batch: 512,
      n_gpu_layers: 0,
      warmup: false,
    });
    return (performance.now() - start) / 1000;
  },

  /**
   * A prompt of `prompt` tokens (signs that no merge of the made-up vocabulary touches: one token each), then `steps`
   * tokens.
   */
  async time(prompt: number, steps: number): Promise<Timings> {
    const text = Array.from(
      { length: prompt },
      (_, i) => '#$%&*+/<=>@^~'[(i * 7919 + Math.floor(performance.now() + i / 3)) % 14],
    ).join('');
    const { timings } = await engine.createCompletion({
      prompt: text,
      max_tokens: steps + 1,
      temperature: 0,
      ignore_eos: true,
      cache_prompt: false,
    });
    if (!timings) throw new Error('wllama gave no timings');
    return timings;
  },
};

export type Peer = typeof peer;
Object.assign(window, { peer });
