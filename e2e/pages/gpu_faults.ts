/** Devices that compute wrongly, are lost, refuse memory, or have faster kernels: what the backend makes of them. */
import { createStore, del, keys } from 'idb-keyval';
import { firstState, type Backend, type State } from '../../src/backend/backend';
import { describeProgram } from '../../src/backend/describe_program';
import { writeRandomMatrix } from '../../src/backend/random_weights';
import { recordPlan, type Plan } from '../../src/backend/plan';
import { GREEDY_SAMPLING } from '../../src/backend/sampling';
import { openWebGpuBackend, type WebGpuOptions } from '../../src/backend/webgpu/backend';
import type { Dtype } from '../../src/tensor/dtype';
import { count, difference, modelWithExperts, open, openFresh, shared, smallModel, someTokens } from './gpu_models';

/** a state of the shared device, which no test loses */
let undisturbed: Promise<State> | undefined;

/**
 * A browser that, from `begin` to `end`, answers nothing that is asked of a device, nor what was asked before: some are
 * so when it is lost.
 */
function silenced(): { begin(): void; end(): void } {
  let silent = false;
  const undo: (() => void)[] = [];
  const hush = (prototype: object, name: string): void => {
    const original = Reflect.get(prototype, name) as (...parameters: unknown[]) => Promise<unknown>;
    Reflect.set(prototype, name, function (this: unknown, ...parameters: unknown[]) {
      const answer = original.apply(this, parameters);
      return new Promise(
        (resolve, reject) =>
          void answer.then(
            (value) => silent || resolve(value),
            (error) => silent || reject(error),
          ),
      );
    });
    undo.push(() => void Reflect.set(prototype, name, original));
  };
  hush(GPUBuffer.prototype, 'mapAsync');
  hush(GPUQueue.prototype, 'onSubmittedWorkDone');
  hush(GPUDevice.prototype, 'popErrorScope');
  hush(GPUDevice.prototype, 'createComputePipelineAsync');
  return { begin: () => (silent = true), end: () => undo.forEach((f) => f()) };
}

/** Verdicts on what has this in its name: 'cache' is in those on variants. */
async function forget(about: string): Promise<void> {
  const verdicts = createStore('rivulet-devices', 'verdicts');
  for (const key of await keys<string>(verdicts)) if (key.includes(about)) await del(key, verdicts);
}

/** The formats of a plan are what is tested: a lookup is enough to name one. */
async function lookup(backend: Backend, dtype: Dtype): Promise<Plan> {
  const table = await writeRandomMatrix(backend, {
    name: 'table',
    rows: 32,
    cols: 256,
    segments: [{ name: 'table', rows: 32, dtype }],
  });
  return recordPlan((op) => op.last(op.embed(table)));
}

/** Names of shaders/lib/reduce_subgroup and reduce_array_subgroup as they stand in the bundle, by their own names. */
type ReduceNames = Record<'group_sum' | 'group_max' | 'group_sum4' | 'group_max4' | 'value' | 'values' | 'lid', string>;

/** WGSL whose subgroups are so many neighbours of a workgroup, by workgroup memory: devices differ in their size. */
function withSubgroupsOf(lanes: number, code: string, names: ReduceNames): string {
  if (!code.includes('enable subgroups;')) return code;
  const { value, values, lid } = names;
  const reduce = (name: string, type: string, place: string, from: string, step: string): string =>
    `fn ${name}(v: ${type}, lid: u32) -> ${type} {
      workgroupBarrier(); ${place}[lid] = v; workgroupBarrier();
      var r = ${from}; for (var i = 0u; i < lanes_of(lid); i++) { let o = ${place}[lid / ${lanes}u * ${lanes}u + i]; r = ${step}; }
      workgroupBarrier(); return r;
    }`;
  const helpers = [
    'var<workgroup> lanes1: array<f32, 256>; var<workgroup> lanes4: array<vec4<f32>, 256>;',
    `fn lanes_of(lid: u32) -> u32 { return min(${lanes}u, group_size - lid / ${lanes}u * ${lanes}u); }`,
    reduce('lanes_sum', 'f32', 'lanes1', '0.0', 'r + o'),
    reduce('lanes_max', 'f32', 'lanes1', '-3.4e38', 'max(r, o)'),
    reduce('lanes_sum4', 'vec4<f32>', 'lanes4', 'vec4<f32>()', 'r + o'),
    reduce('lanes_max4', 'vec4<f32>', 'lanes4', 'vec4<f32>(-3.4e38)', 'max(r, o)'),
  ];
  return (
    code
      .replace('enable subgroups;', '')
      .replaceAll('subgroupAdd(1u)', `lanes_of(${lid})`)
      .replaceAll(`subgroupAdd((*${values})[i])`, `lanes_sum4((*${values})[i], ${lid})`)
      .replace(/fn (\w+)\(\w+:[^}]*?subgroup(?:Add|Max)\(\w+\)/g, (text, name) => {
        const kind = (['sum', 'max', 'sum4', 'max4'] as const).find((each) => names[`group_${each}`] === name);
        return kind ? text.replace(/subgroup(Add|Max)\(\w+\)/, `lanes_${kind}(${value}, ${lid})`) : text;
      }) + helpers.join('\n')
  );
}

export const faults = {
  /** Opens without `allowSoftware`. */
  hardwareOnly: async (): Promise<string> => {
    const opened = await openWebGpuBackend().catch((error: Error) => `${error.name}: ${error.message}`);
    return typeof opened === 'string' ? opened : opened.info.device;
  },

  /** What the self test finds when the shaders of a device are spoilt: `pattern` becomes `by` in all of them. */
  async spoilt(
    pattern: string,
    by: string,
    model: Dtype | 'experts',
    options: WebGpuOptions,
  ): Promise<{ variant: string; notes: string[]; ms: number } | { error: string }> {
    const original = GPUDevice.prototype.createShaderModule;
    if (pattern)
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        return original.call(this, { ...descriptor, code: descriptor.code.replaceAll(pattern, by) });
      };
    const backend = await open({ ...options, selfTest: 'always' });
    try {
      const start = performance.now();
      const plan = model === 'experts' ? (await modelWithExperts(backend)).plan : await lookup(backend, model);
      await firstState(backend, plan, { contextLength: 64, prefillBatch: 1 });
      const { variant, notes } = backend.info;
      return { variant, notes, ms: performance.now() - start };
    } catch (error) {
      return { error: `${(error as Error).name}: ${(error as Error).message}` };
    } finally {
      GPUDevice.prototype.createShaderModule = original;
      await backend.dispose();
    }
  },

  /** What the self test finds where subgroups have so many invocations. */
  async subgroupsOf(
    lanes: number,
    names: ReduceNames,
    options: WebGpuOptions,
  ): Promise<{ variant: string; notes: string[]; changed: number }> {
    const original = GPUDevice.prototype.createShaderModule;
    let changed = 0;
    GPUDevice.prototype.createShaderModule = function (descriptor) {
      const code = withSubgroupsOf(lanes, descriptor.code, names);
      if (code !== descriptor.code) changed++;
      if (code.includes('subgroupAdd')) throw new Error(`subgroups are left in ${descriptor.label}`);
      return original.call(this, { ...descriptor, code });
    };
    const backend = await open({ ...options, selfTest: 'always' });
    try {
      await firstState(backend, await lookup(backend, 'Q4_K'), { contextLength: 64, prefillBatch: 1 });
      return { variant: backend.info.variant, notes: backend.info.notes, changed };
    } finally {
      GPUDevice.prototype.createShaderModule = original;
      await backend.dispose();
    }
  },

  /**
   * Loads on a device whose subgroups are spoilt, or whose memory is refused while it is tested, and then once more on
   * a sound one: what was found each time, and how many pipelines were made.
   * @param sum the sum over a subgroup as it stands in the bundle, and what it becomes
   */
  async remembered(
    fault: 'subgroups' | 'memory',
    [sum, wrongSum]: [string, string],
    options: WebGpuOptions,
  ): Promise<{ variant: string; notes: string[]; pipelines: number; error?: string }[]> {
    const { createShaderModule, createBuffer } = GPUDevice.prototype;
    const start = async (): Promise<{ variant: string; notes: string[]; pipelines: number; error?: string }> => {
      const backend = await open({ ...options, selfTest: 'known' });
      const counter = count();
      let error: string | undefined;
      try {
        await firstState(backend, await lookup(backend, 'F32'), { contextLength: 64, prefillBatch: 1 });
      } catch (failure) {
        error = (failure as Error).name;
      }
      const { createComputePipelineAsync: pipelines } = counter.stop();
      const { variant, notes } = backend.info;
      await backend.dispose();
      return { variant, notes, pipelines, error };
    };
    await forget('cache');
    if (fault === 'subgroups')
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        return createShaderModule.call(this, {
          ...descriptor,
          code: descriptor.code.replaceAll(sum, wrongSum),
        });
      };
    else
      GPUDevice.prototype.createBuffer = function (descriptor) {
        return createBuffer.call(
          this,
          /^keys/.test(descriptor.label ?? '') ? { ...descriptor, size: 2 ** 52 } : descriptor,
        );
      };
    const first = await start().finally(() => Object.assign(GPUDevice.prototype, { createShaderModule, createBuffer }));
    const second = await start();
    await forget('cache');
    return [first, second];
  },

  /**
   * Tunes with made-up times, of which the winner is known; then a second load on the same device.
   * @param times µs by setting, 'rows' or 'span 128', multiplied
   * @param spoilers pieces of the bundled shaders, and what they become
   */
  async tuned(times: Record<string, number>, spoilers: [string, string][], options: WebGpuOptions) {
    const original = GPUDevice.prototype.createShaderModule;
    const spoil = spoilers.length > 0;
    GPUDevice.prototype.createShaderModule = function (descriptor) {
      const code = spoilers.reduce((text, [pattern, by]) => text.replaceAll(pattern, by), descriptor.code);
      return original.call(this, { ...descriptor, code });
    };
    const start = async (fresh: boolean) => {
      const backend = await open({ ...options, selfTest: 'known' });
      const { plan, V } = await modelWithExperts(backend);
      const state = await firstState(backend, plan, { contextLength: 256, prefillBatch: 8 });
      const begin = async (n: number): Promise<void> => {
        state.rewind(0);
        const tokens = someTokens(V, n);
        for (let at = 0; at < n; at += 8) await state.prefill(tokens.slice(at, at + 8));
      };
      const greedy = async () => (await begin(20), [...(await state.decode(8, GREEDY_SAMPLING))]);
      /** where short spans are several */
      const logits = async () => (await begin(140), await state.prefill(someTokens(V, 1)), state.logits());
      if (fresh) await greedy();
      return { backend, state, greedy, logits };
    };
    try {
      await forget('tunings');
      const first = await start(true);
      const wanted = await first.logits();
      await first.state.prefill(someTokens(512, 4)); // a conversation is open while the tuner runs
      const before = await first.state.logits();
      const measure = (_: string, tuning: object): Promise<number> =>
        Promise.resolve(
          Object.entries(tuning).reduce(
            (micros, [name, value]) => micros * (times[`${name} ${value}`] ?? times[name] ?? 1),
            100,
          ),
        );
      const rows = await first.state.program.tune!({ measure, budgetMs: 1e6, allowSoftware: true });
      const untouched = difference(await first.state.logits(), before);
      // the conversation that was open goes on as one that was never tuned under
      const goOn = async () => (await first.state.prefill(someTokens(512, 1)), first.state.logits());
      const gone = await goOn();
      await first.logits();
      await first.state.prefill(someTokens(512, 4));
      const goesOn = difference(gone, await goOn());
      const error = difference(await first.logits(), wanted);
      const counter = count();
      const tokens = await first.state.decode(4, GREEDY_SAMPLING);
      const counts = counter.stop();
      const again = await first.state.program.tune!({ measure, allowSoftware: true });
      const described = describeProgram(first.state.program);
      await first.backend.dispose();
      const second = spoil ? undefined : await start(false);
      const kept = second && describeProgram(second.state.program) === described;
      await second?.backend.dispose();
      return { rows, error, untouched, goesOn, counts, tokens: tokens.length, again, described, kept };
    } finally {
      GPUDevice.prototype.createShaderModule = original;
    }
  },

  /**
   * Destroys a device in the middle of a phase, in a browser that then says nothing more if `silent`; then another one
   * reads what was read and goes on.
   */
  async lost(
    phase: 'load' | 'compile' | 'prefill' | 'decode',
    options: WebGpuOptions,
    silent = false,
  ): Promise<{ errors: string[]; hung: boolean; equal: boolean }> {
    const sizes = { contextLength: 256, prefillBatch: 64 };
    const prompt = someTokens(512, 40);
    undisturbed ??= (async () => {
      const backend = await shared(options);
      return firstState(backend, (await smallModel(backend)).plan, sizes);
    })();
    /** what a device that is not lost says after the prompt and these tokens */
    const afterwards = async (tokens: number[]): Promise<number[]> => {
      const state = await undisturbed!;
      state.rewind(0);
      await state.prefill(prompt);
      if (tokens.length) await state.prefill(Uint32Array.from(tokens));
      return [...(await state.decode(12 - tokens.length, GREEDY_SAMPLING))];
    };
    const wanted = await afterwards([]);

    let device: GPUDevice | undefined;
    const original = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      return (device = await original.call(this, descriptor));
    };
    const errors: string[] = [];
    const note = (error: Error): void => void errors.push(`${error.name}: ${error.message}`);
    const chosen: number[] = [];
    const silence = silent ? silenced() : undefined;
    const destroy = (at: typeof phase): void => {
      if (at !== phase) return;
      silence?.begin();
      device!.destroy();
    };
    const run = async (): Promise<void> => {
      const backend = await openFresh(options);
      const loading = smallModel(backend);
      setTimeout(() => destroy('load'));
      const { plan } = await loading;
      const compiling = firstState(backend, plan, sizes);
      destroy('compile');
      const state = await compiling;
      const reading = state.prefill(prompt);
      destroy('prefill');
      await reading;
      chosen.push(...(await state.decode(3, GREEDY_SAMPLING)));
      const windows = [state.decode(3, GREEDY_SAMPLING), state.decode(3, GREEDY_SAMPLING)];
      destroy('decode');
      for (const window of await Promise.allSettled(windows)) {
        if (window.status === 'fulfilled') chosen.push(...window.value);
        else note(window.reason as Error);
      }
      await state.prefill(prompt).catch(note);
      await state.logits().catch(note);
      await state.decode(1, GREEDY_SAMPLING).then(() => undefined, note);
    };
    const hung = await Promise.race([
      run()
        .catch(note)
        .then(() => false),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 60_000)),
    ]);
    GPUAdapter.prototype.requestDevice = original;
    silence?.end();
    return { errors, hung, equal: [...chosen, ...(await afterwards(chosen))].join() === wanted.join() };
  },

  /** A device that refuses caches beyond `most` bytes: the tokens are still those of one that does not. */
  async refused(most: number, options: WebGpuOptions): Promise<{ equal: boolean; refusals: number; error: number }> {
    const backend = await shared(options);
    const { plan, V } = await smallModel(backend);
    const run = async (contextLength: number): Promise<{ ids: number[]; logits: Float32Array }> => {
      const state = await firstState(backend, plan, { contextLength, prefillBatch: 256 });
      for (let at = 0; at < 1022; at += 146) await state.prefill(someTokens(V, 146));
      const logits = await state.logits();
      const windows = await Promise.all([
        state.decode(2, GREEDY_SAMPLING),
        state.decode(4, GREEDY_SAMPLING),
        state.decode(4, GREEDY_SAMPLING),
      ]); // over the border
      const ids = windows.flatMap((window) => [...window]);
      state.program.dispose();
      return { ids, logits };
    };
    const plain = await run(2048);
    const original = GPUDevice.prototype.createBuffer;
    let refusals = 0;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      if (!/^(keys|values)/.test(descriptor.label ?? '') || descriptor.size <= most || refusals >= 2)
        return original.call(this, descriptor);
      refusals++;
      return original.call(this, { ...descriptor, size: 2 ** 52 });
    };
    const short = await run(4096).finally(() => (GPUDevice.prototype.createBuffer = original));
    return { equal: short.ids.join() === plain.ids.join(), refusals, error: difference(short.logits, plain.logits) };
  },
};
