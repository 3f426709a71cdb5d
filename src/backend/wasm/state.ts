/** The state of one conversation on the WASM backend: its tokens, keys and values in pages, and convolution rings. */
import { CONV_RING_POSITIONS, KV_PAGE_POSITIONS } from 'virtual:rivulet-kernels';
import type { PrefillOptions, Program, State } from '../backend';
import { logprobs, type ChosenLogprob, type SamplingParams } from '../sampling';
import type { StateCursor } from '../state_cursor';
import { writeRopeTables } from './lower';
import { HeapScope } from './memory';
import type { InterpretedState, Interpreter, StepOptions } from './interpreter';

/** [address, bytes] */
export type Span = readonly [number, number];

export const sizeOf = (spans: Span[]): number => spans.reduce((sum, [, bytes]) => sum + bytes, 0);

export class WasmState implements State, InterpretedState {
  /** addresses: token by position, those of the pages, and the block of rings */
  readonly history: number;
  readonly pages: number;
  readonly rings: number;
  readonly pageAddresses: number[] = [];
  /** the address of its logits while another state has the output; 0 as long as there was none */
  private keptLogits = 0;
  /** the columns before each mark */
  private readonly marks = new Map<number, number>();

  constructor(
    readonly program: Program,
    readonly shared: Interpreter,
    private readonly scope: HeapScope,
    readonly cursor: StateCursor,
  ) {
    const { limits: { contextLength }, lowered: { ringBytes } } = shared; // prettier-ignore
    this.history = scope.alloc((contextLength + 1) * 4, 'the history');
    const { PAGE } = shared.heap.build.structs;
    this.pages = scope.alloc(Math.ceil(contextLength / KV_PAGE_POSITIONS + 1) * PAGE.bytes, 'the page table');
    this.rings = scope.alloc(ringBytes, 'convolution state');
  }

  get position(): number {
    return this.cursor.position;
  }

  get bytes(): number {
    return this.scope.bytes;
  }

  async prefill(tokens: Uint32Array, options: PrefillOptions = {}): Promise<void> {
    const { shared, cursor } = this;
    shared.check(this);
    const bounds = cursor.checkPrefill(tokens, options);
    const { position } = cursor;
    this.allocatePages(position + tokens.length);
    if (!shared.isCurrent(this)) shared.enter(this);
    shared.heap.u32.set(tokens, this.history / 4 + position);
    if (bounds) shared.writeBounds(bounds);
    const { rows, signal } = options;
    const after = rows && new Map([[0, () => shared.writeRows(rows, tokens.length)]]);
    await this.run(tokens.length, position, 0, { after, signal });
    cursor.prefilled(tokens.length);
  }

  async decode(steps: number, sampling: SamplingParams): Promise<Uint32Array> {
    const { shared, cursor, cursor: { position } } = this; // prettier-ignore
    shared.check(this);
    const reads = cursor.checkDecode(steps, sampling);
    if (steps < 1) return new Uint32Array();
    this.allocatePages(position + reads);
    const T = cursor.pending ? 1 : 0;
    if (!shared.isCurrent(this)) {
      shared.enter(this);
      if (T === 0) this.copy(this.keptLogits, shared.logits, this.logitBytes);
    }
    shared.writeSampling(sampling);
    await this.run(T, position, steps);
    cursor.decoded(steps, reads);
    const first = this.history / 4 + position + T;
    return shared.heap.u32.slice(first, first + steps);
  }

  /** A step that fails may have written over columns of the rings. */
  private async run(T: number, position: number, draws: number, options?: StepOptions): Promise<void> {
    const { shared, cursor } = this;
    try {
      await shared.run(T, position, draws, cursor.promptLength, options);
    } catch (error) {
      cursor.interrupted(T);
      throw error;
    }
  }

  mark(): void {
    const { shared, cursor, scope } = this;
    shared.check(this);
    if (!cursor.mark()) return;
    const columns = this.columnsBefore(cursor.position);
    let address: number;
    try {
      address = scope.alloc(sizeOf(columns), 'the mark of a position');
    } catch (error) {
      cursor.marks.pop();
      throw error;
    }
    this.gather(columns, shared.heap.u8, address);
    this.marks.set(cursor.position, address);
    cursor.surplusMark();
    this.forgetMarks();
  }

  rewindTarget(position: number): number {
    return this.cursor.rewindTarget(position);
  }

  rewind(position: number): boolean {
    const { cursor } = this;
    this.shared.check(this);
    if (cursor.rewindTarget(position) !== position) return false;
    if (cursor.rewound(position)) {
      let at = this.marks.get(position)!;
      for (const [address, bytes] of this.columnsBefore(position)) {
        this.copy(at, address, bytes);
        at += bytes;
      }
    }
    this.forgetMarks();
    return true;
  }

  async fork(): Promise<State> {
    this.shared.check(this);
    return createWasmState(this.program, this.shared, this.cursor.copy(), (copy) => {
      this.copy(this.history, copy.history, this.position * 4);
      this.copy(this.rings, copy.rings, this.shared.lowered.ringBytes);
      copy.allocatePages(this.position, this);
      for (const [position, columns] of this.marks) {
        const bytes = sizeOf(this.columnsBefore(position));
        const address = copy.scope.alloc(bytes, 'the mark of a position');
        this.copy(columns, address, bytes);
        copy.marks.set(position, address);
      }
    });
  }

  async logits(output = 0): Promise<Float32Array> {
    const { shared, cursor } = this;
    shared.check(this);
    cursor.checkLogits(output, shared.isCurrent(this));
    if (output) {
      const one = shared.plan.outputs[output];
      return shared.rowsOf(one, one.rows === 1 ? 1 : cursor.lastRead).slice();
    }
    const address = shared.isCurrent(this) ? shared.logits : this.keptLogits;
    return shared.heap.f32.slice(address / 4, (address + this.logitBytes) / 4);
  }

  async logprobs(chosen: number, n: number): Promise<ChosenLogprob> {
    return logprobs(await this.logits(), chosen, n);
  }

  /** Copies the logits out of the output, which another state is about to use. @throws MemoryError */
  keepLogits(): void {
    const { shared, logitBytes } = this;
    if (logitBytes === 0) return;
    this.keptLogits ||= this.scope.alloc(shared.logitRows * shared.columns * 4, 'the logits of a conversation');
    this.copy(shared.logits, this.keptLogits, logitBytes);
  }

  /** Uses this state, which must be new. */
  measureThreads(): number {
    this.allocatePages(1);
    this.shared.enter(this);
    return this.shared.measureThreads();
  }

  dispose(): void {
    this.shared.leave(this);
    this.scope.dispose();
  }

  private get logitBytes(): number {
    const { shared, cursor: { lastRead } } = this; // prettier-ignore
    return Math.min(lastRead, shared.logitRows) * shared.columns * 4;
  }

  /** Makes room for `end` positions, with copies of the pages of another state if there is one. */
  allocatePages(end: number, from?: WasmState): void {
    const { pageAddresses, shared: { heap, lowered: { pageBytes, ropes } } } = this; // prettier-ignore
    const { PAGE } = heap.build.structs;
    for (let page = pageAddresses.length; page * KV_PAGE_POSITIONS < end; page++) {
      const address = this.scope.alloc(pageBytes + 64, `position ${end} of the context`);
      if (from) this.copy(from.pageAddresses[page], address, pageBytes);
      else writeRopeTables(heap.f32, address, page * KV_PAGE_POSITIONS, ropes);
      PAGE.write(heap, this.pages + page * PAGE.bytes, { address });
      pageAddresses.push(address);
    }
  }

  /** The columns of all rings that the convolution of a token at `position` reads. */
  columnsBefore(position: number): Span[] {
    return this.shared.lowered.convRings.flatMap(({ offset, channels, length }) =>
      Array.from({ length: Math.min(length - 1, position) }, (_, i): Span => {
        const column = (position - 1 - i) % CONV_RING_POSITIONS;
        return [this.rings + offset + column * channels * 4, channels * 4];
      }),
    );
  }

  /** Copies spans to consecutive bytes of an array. */
  gather(spans: Span[], to: Uint8Array, at: number): void {
    const { u8 } = this.shared.heap;
    for (const [address, bytes] of spans) {
      to.set(u8.subarray(address, address + bytes), at);
      at += bytes;
    }
  }

  private copy(from: number, to: number, bytes: number): void {
    this.shared.heap.u8.copyWithin(to, from, from + bytes);
  }

  /** Releases the marks that the cursor has forgotten. */
  private forgetMarks(): void {
    for (const [position, address] of this.marks)
      if (!this.cursor.marks.includes(position)) {
        this.scope.release(address);
        this.marks.delete(position);
      }
  }
}

/** @param fill its contents. @throws what it throws, and MemoryError; then nothing is held */
export async function createWasmState(
  program: Program,
  shared: Interpreter,
  cursor: StateCursor,
  fill?: (state: WasmState) => void | Promise<void>,
): Promise<WasmState> {
  shared.check();
  const scope = new HeapScope(shared.heap);
  try {
    const state = new WasmState(program, shared, scope, cursor);
    await fill?.(state);
    shared.check(); // while it was filled the program may have been disposed
    shared.states.add(state);
    return state;
  } catch (error) {
    scope.dispose();
    throw error;
  }
}
