/** Where a state stands, with the rules that all backends share: what a call may do, how far the state can go back. */
import { fail } from '../errors';
import type { CompileOptions, InputRows, PrefillOptions } from './backend';
import { convStatesOf, kvCachesOf, tablesOf, type Plan } from './plan';
import type { SamplingParams } from './sampling';
import { sequenceBounds } from './sequences';

/** Most marks of a state; the oldest goes first. */
const MAX_MARKS = 32;

export interface CursorLimits extends CompileOptions {
  /** rows of the table of embeddings; without one, ids say nothing */
  vocabulary: number;
  /** columns before a token that its convolution reads, L − 1 of the longest one */
  convHistory: number;
  /** positions that a convolution's ring holds */
  ringPositions: number;
  /** columns of the first activation or of all inputs, and whether they are rows alone, without a lookup */
  inputColumns: number[];
  rowsOnly: boolean;
  /** nodes read the tokens of a call and no state, so that it may have several sequences */
  within: boolean;
  /** a state holds nothing of the tokens that were read */
  stateless: boolean;
}

export function cursorLimits(plan: Plan, options: CompileOptions, ringPositions: number): CursorLimits {
  const tables = plan.nodes.flatMap(tablesOf).map(({ rows }) => rows);
  return {
    ...options,
    ringPositions,
    inputColumns: plan.nodes.flatMap(({ op, out }, i) => (i && op !== 'input' ? [] : out.cols)),
    rowsOnly: tables.length === 0,
    within: plan.bounds !== undefined,
    stateless: !plan.nodes.some((node) => kvCachesOf(node).length || convStatesOf(node).length),
    vocabulary: tables.length ? Math.max(...tables) : Infinity,
    convHistory: Math.max(0, ...plan.nodes.flatMap(convStatesOf).map(({ length }) => length - 1)),
  };
}

export class StateCursor {
  /** tokens read */
  position = 0;
  /** a drawn token stands behind the tokens that are read */
  pending = false;
  /** tokens that are prompt, for the penalties */
  promptLength = 0;
  /** tokens of the last call that read any, and with them logits; 0: there are none */
  lastRead = 0;
  /** positions with a mark, ascending */
  readonly marks: number[] = [];
  /** the rings hold the positions from here on, also after a rewind */
  ringStart = 0;

  constructor(private readonly limits: CursorLimits) {}

  /**
   * @returns the bounds of the tokens [T, 4], for a plan that needs them. The position may be 0 now.
   * @throws RequestError, ContextError; then nothing has changed
   */
  checkPrefill(
    tokens: Uint32Array,
    { sequences, rows, bounds }: PrefillOptions = {},
  ): Uint32Array<ArrayBuffer> | undefined {
    const { prefillBatch, vocabulary, within, stateless } = this.limits;
    const T = tokens.length;
    if (T < 1 || T > prefillBatch)
      fail('RequestError', {
        what: 'The number of tokens in one prefill is wrong',
        got: T,
        wanted: `1 … ${prefillBatch}`,
      });
    const unknown = tokens.find((token) => token >= vocabulary);
    if (unknown !== undefined)
      fail('RequestError', {
        what: 'A token is outside the vocabulary',
        got: unknown,
        wanted: `less than ${vocabulary}`,
      });
    const { inputColumns, rowsOnly } = this.limits;
    if (rows || rowsOnly) inputColumns.forEach((D, i) => this.checkRows(T, D, rows?.[i]));
    if (sequences && !within) fail('RequestError', { what: 'The model does not take several sequences' });
    bounds = within ? (bounds ?? sequenceBounds(T, sequences)) : undefined;
    this.checkContext(stateless ? T - this.position : T);
    if (stateless) this.rewound(0);
    return bounds;
  }

  private checkRows(
    T: number,
    D: number,
    { at, values }: InputRows = { at: new Uint32Array(), values: new Float32Array() },
  ): void {
    const { rowsOnly } = this.limits;
    if (rowsOnly ? at.length !== T : at.some((t, i) => t >= T || (i > 0 && t <= at[i - 1])))
      fail('RequestError', {
        what: 'The rows of the input are wrong',
        got: `rows for ${at.length} of ${T} tokens`,
        wanted: rowsOnly ? 'a row for each' : 'tokens of this call, ascending',
      });
    if (values.length !== at.length * D)
      fail('RequestError', {
        what: 'The rows of the input are wrong',
        got: `${values.length} numbers`,
        wanted: `${at.length} rows of ${D}`,
      });
  }

  prefilled(T: number): void {
    this.advance(T);
    this.promptLength = this.position;
    this.pending = false;
    this.lastRead = T;
  }

  /** @returns the tokens that these steps read. @throws RequestError, ContextError; then nothing has changed */
  checkDecode(steps: number, { mask }: SamplingParams): number {
    if (this.lastRead === 0) fail('RequestError', { what: 'decode needs a prefill before it' });
    if (mask && steps !== 1)
      fail('RequestError', { what: 'A token mask applies to one step only', got: `${steps} steps`, wanted: 1 });
    const reads = Math.max(0, this.pending ? steps : steps - 1);
    if (reads && (this.limits.within || this.limits.rowsOnly))
      fail('RequestError', { what: 'The model reads no tokens that it draws' });
    this.checkContext(reads);
    return reads;
  }

  decoded(steps: number, reads: number): void {
    if (steps < 1) return;
    this.advance(reads);
    this.pending = true;
    if (reads > 0) this.lastRead = 1;
  }

  /**
   * @param output which one is read
   * @param current no other state has computed since
   * @throws RequestError
   */
  checkLogits(output = 0, current = true): void {
    if (!this.lastRead) fail('RequestError', { what: 'There are no logits before a prefill' });
    if (output && !current)
      fail('RequestError', { what: `Output ${output} is gone`, got: 'another state has computed since' });
  }

  /** @returns false if there is nothing to mark: the position is 0 or has a mark */
  mark(): boolean {
    if (this.position === 0 || this.marks.at(-1) === this.position) return false;
    this.marks.push(this.position);
    return true;
  }

  /** The mark that must go; undefined while there are few enough. */
  surplusMark(): number | undefined {
    return this.marks.length > MAX_MARKS ? this.marks.shift() : undefined;
  }

  /** As State.rewindTarget. */
  rewindTarget(position: number): number {
    const wanted = Math.max(0, Math.min(position, this.position));
    return this.inRing(wanted) ? wanted : (this.marks.findLast((mark) => mark <= wanted) ?? 0);
  }

  /**
   * Goes back to a `rewindTarget`; marks behind it are forgotten.
   * @returns whether the columns before it must come from its mark
   */
  rewound(to: number): boolean {
    const fromMark = !this.inRing(to);
    this.position = to;
    if (fromMark || to === 0) this.ringStart = Math.max(0, to - this.limits.convHistory);
    this.promptLength = Math.min(this.promptLength, to);
    this.pending = false;
    this.lastRead = 0;
    while (this.marks.length && this.marks.at(-1)! > to) this.marks.pop();
    return fromMark;
  }

  /** The cursor of a copy of the state, which has no logits and no pending token; `marks` must be copied. */
  copy(): StateCursor {
    const copy = new StateCursor(this.limits);
    copy.position = this.position;
    copy.promptLength = this.promptLength;
    copy.ringStart = this.ringStart;
    copy.marks.push(...this.marks);
    return copy;
  }

  /** A call failed that may have written the columns of `reads` tokens behind the position. */
  interrupted(reads: number): void {
    this.ringStart = Math.max(this.ringStart, this.position + reads - this.limits.ringPositions);
  }

  private inRing(position: number): boolean {
    const { convHistory } = this.limits;
    return position === 0 || convHistory === 0 || Math.max(0, position - convHistory) >= this.ringStart;
  }

  private advance(reads: number): void {
    this.interrupted(reads);
    this.position += reads;
  }

  private checkContext(more: number): void {
    const { contextLength } = this.limits;
    if (this.position + more > contextLength)
      fail('ContextError', {
        what: 'The context is full',
        got: `${this.position + more} tokens`,
        wanted: `at most ${contextLength}`,
        cure: 'Start a new conversation, or load the model with a longer context.',
      });
  }
}
