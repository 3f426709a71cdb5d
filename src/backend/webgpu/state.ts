/**
 * A state on the GPU. Decode encodes a window of steps in one pass and one submit; the GPU itself advances position and
 * token.
 */
import type { InputRows, PrefillOptions, Program, State } from '../backend';
import type { SamplingParams } from '../sampling';
import { submitDispatches } from './batches';
import {
  closeConversation,
  encodeCopies,
  forkConversation,
  isReady,
  makeReady,
  markPosition,
  nextStep,
  rewindTo,
} from './conversation';
import { encodeDispatches, type PreparedDispatch } from './device';
import { STEP } from './dispatch';
import type { ProgramParts, StateParts } from './parts';
import { prefillBuckets } from './prepared';
import type { GpuTokenSampler } from './sampler';
import { contextBucket } from './scratch';

/** Most steps of one submit; `decode` splits longer calls. */
export const WINDOW_STEPS = 64;

export interface WebGpuState extends State {
  /** for saved.ts, and for tools: profile.ts measures the dispatches of a decode step */
  internals(): StateParts;
}

export function createWebGpuState(program: Program, one: StateParts): WebGpuState {
  const { cursor, group } = one;
  const { outputs, plan, rows, logprobsOf } = one.program;
  /** waits until the logits of this state are in place */
  const bringLogits = async (output?: number): Promise<void> => {
    one.program.opened.throwIfFailed();
    cursor.checkLogits(output, one.program.owner === one);
    if (!isReady(one, 0)) await makeReady(one, 0, nextStep(one));
  };
  return {
    program,
    get position() {
      return cursor.position;
    },
    get bytes() {
      return group.bytes();
    },
    prefill: (tokens, options) => prefill(one, tokens, options),
    decode: (steps, sampling) => (one.program.experts ?? { decode }).decode(one, steps, sampling),
    mark: () => markPosition(one),
    rewindTarget: (position) => cursor.rewindTarget(position),
    rewind: (position) => rewindTo(one, position),
    fork: async () => createWebGpuState(program, await forkConversation(one)),
    async logits(output = 0) {
      await bringLogits(output);
      const { buffer, offset } = outputs[output];
      const { cols, rows: count } = plan.outputs[output];
      let copy: { read(): Promise<ArrayBuffer> };
      encodeCopies(one.program, (encoder) => {
        copy = rows.copy(encoder, buffer, offset, 4 * cols * (count === 'T' ? cursor.lastRead : 1));
      });
      return new Float32Array(await copy!.read());
    },
    async logprobs(chosen, n) {
      await bringLogits();
      return logprobsOf!(chosen, n);
    },
    dispose: () => closeConversation(one),
    internals: () => one,
  };
}

async function prefill(one: StateParts, tokens: Uint32Array, options?: PrefillOptions): Promise<void> {
  const { cursor, gpu, program, history } = one;
  const { opened, plan, prefillBatch, scratch, submitBatch } = program;
  const { queue } = opened.device;
  opened.throwIfFailed();
  const bounds = cursor.checkPrefill(tokens, options);
  const { position } = cursor;
  const T = tokens.length;
  await makeReady(one, position + T, nextStep(one));
  queue.writeBuffer(gpu.tokens.buffer, 4 * position, tokens as Uint32Array<ArrayBuffer>);
  queue.writeBuffer(program.step.buffer, 0, STEP.pack({ position, count: T, prompt: position + T }));
  if (bounds) queue.writeBuffer(scratch.slots[plan.bounds!].buffer, 0, bounds);
  history.set(tokens, position);
  one.promptCounted = false;
  const bucket = prefillBuckets(prefillBatch).find((size) => size >= T)!;
  const dispatches = bucket === 1 ? decodeDispatches(one, position + 1) : one.prepared.prefill.get(bucket)!;
  if (options?.rows) writeRows(program, dispatches, options.rows);
  const rest = options?.rows ? dispatches.slice(program.lookups) : dispatches;
  await (program.experts?.run(one, rest, T, options?.signal) ?? submitBatch(rest, bucket, T));
  cursor.prefilled(T);
  opened.throwIfFailed();
}

/** Runs the lookups, and writes rows over theirs. */
function writeRows(
  { opened, lookups, plan, scratch }: ProgramParts,
  dispatches: PreparedDispatch[],
  rows: InputRows[],
): void {
  const { device } = opened;
  if (lookups) submitDispatches(device, dispatches.slice(0, lookups));
  rows.forEach(({ at, values }, n) => {
    const { slot, cols: D } = plan.nodes[n].out;
    for (let first = 0, end = 0; first < at.length; first = end) {
      do end++;
      while (at[end] === at[end - 1] + 1);
      const { buffer, offset } = scratch.slots[slot];
      device.queue.writeBuffer(buffer, offset + 4 * D * at[first], values, D * first, D * (end - first));
    }
  });
}

export const decodeDispatches = ({ prepared }: StateParts, positions: number): PreparedDispatch[] =>
  prepared.decode.get(contextBucket(positions, prepared.span))!;

async function decode(one: StateParts, steps: number, sampling: SamplingParams): Promise<Uint32Array> {
  const { cursor, program, history } = one;
  const { opened, sampler } = program;
  opened.throwIfFailed();
  const reads = cursor.checkDecode(steps, sampling);
  sampler!.check(sampling);
  const chosen = new Uint32Array(steps);
  if (!steps) return chosen;
  // advance at once: the next call may come while this one still waits for its cache
  const { position, pending } = cursor;
  const next = nextStep(one);
  cursor.decoded(steps, reads);
  const until = cursor.position;
  if (!isReady(one, until)) await makeReady(one, until, next);
  const windows: Promise<ArrayBuffer>[] = [];
  for (let done = 0; done < steps; done += WINDOW_STEPS) {
    const readsPending = pending || done > 0;
    const at = position + (pending || !done ? done : done - 1);
    windows.push(
      submitWindow(one, { at, readsPending, steps: Math.min(steps - done, WINDOW_STEPS) }, sampler!, sampling),
    );
  }
  for (const [i, window] of (await Promise.all(windows)).entries())
    chosen.set(new Uint32Array(window), i * WINDOW_STEPS);
  history.set(chosen, pending ? position + 1 : position);
  return chosen;
}

interface DecodeWindow {
  /** tokens read before it */
  at: number;
  /** whether the first step reads a pending token */
  readsPending: boolean;
  steps: number;
}

/** Encodes a window of decode steps in one pass and one submit; it creates nothing but the encoder. */
export function submitWindow(
  one: StateParts,
  { at, readsPending, steps }: DecodeWindow,
  sampler: GpuTokenSampler,
  sampling: SamplingParams,
): Promise<ArrayBuffer> {
  const { program, prepared, gpu } = one;
  const { device } = program.opened;
  sampler.write(sampling);
  const draw = sampling.temperature === 0 ? prepared.greedy : prepared.sampled;
  const encoder = device.createCommandEncoder();
  if (!one.promptCounted) countPrompt(one, encoder, at);
  one.promptCounted = true;
  const pass = encoder.beginComputePass();
  for (let i = 0; i < steps; i++) {
    const read = readsPending ? at + i + 1 : at + i; // tokens read when this one is drawn
    const skipped = i === 0 && one.embedLost ? 0 : program.skipped;
    if (readsPending || i > 0) encodeDispatches(pass, decodeDispatches(one, read), skipped);
    encodeDispatches(pass, draw);
  }
  pass.end();
  one.embedLost = false;
  const copy = program.ids.copy(encoder, gpu.tokens.buffer, 4 * (readsPending ? at + 1 : at), 4 * steps);
  device.queue.submit([encoder.finish()]);
  return copy.read();
}

/** Counts all tokens read so far as prompt: before the first draw after a prefill. */
function countPrompt({ counts, prepared: { marker } }: StateParts, encoder: GPUCommandEncoder, tokens: number): void {
  encoder.clearBuffer(counts!.buffer);
  const pass = encoder.beginComputePass({ label: 'mark_prompt' });
  pass.setPipeline(marker[0].pipeline);
  pass.setBindGroup(0, marker[0].bindGroup);
  pass.dispatchWorkgroups(Math.ceil(tokens / 64));
  pass.end();
}
