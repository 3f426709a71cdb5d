/**
 * A call from its text to its card: check → consent → run, with a time limit. Nothing that a model or a tool does makes
 * it throw.
 */
import { asSaid } from './as_said';
import { checkCall, shown } from './check_call';
import { ungrounded } from './grounded';
import {
  ToolError,
  UnknownNameError,
  type Entry,
  type PageHost,
  type PageTool,
  type Result,
  type Timer,
  type ToolCall,
} from './tool';

export type CallState = 'done' | 'refused' | 'failed' | 'declined';

/** What the card shows and the conversation keeps; plain JSON. */
export interface CallRecord {
  name: string;
  arguments: Record<string, unknown>;
  title: string;
  state: CallState;
  /** a plain sentence for the person */
  summary: string;
  /** for the model, as JSON: the result, or `{ error }` */
  value: Record<string, unknown>;
  /** the same in a word, for the demo model */
  brief: string;
  /** what was changed in the call before it ran */
  repairs: string[];
  /** of the run alone: the person's time to consent does not count */
  ms: number;
  /** it had not ended at the time limit, and may still take effect: it must not be called again */
  late?: boolean;
  live?: Timer;
  entry?: Entry;
}

export interface RunOptions {
  tools: readonly PageTool[];
  /** names of the tools that were offered to the model */
  enabled: ReadonlySet<string> | readonly string[];
  host: PageHost;
  /** asked before a lasting change; what is not true declines */
  consent(tool: PageTool, call: ToolCall): boolean | Promise<boolean>;
  timeoutMs?: number;
  /** what the user said: given, a call runs only if its values occur there (for small models) */
  userText?: string;
}

const TIMEOUT_MS = 10_000;

/** A copy that JSON can hold, cut where it is too large; never throws. */
function storable(value: unknown): Record<string, unknown> {
  try {
    const text = JSON.stringify(value);
    if (text !== undefined && text.length <= 20_000) {
      const copy: unknown = JSON.parse(text);
      if (typeof copy === 'object' && copy !== null && !Array.isArray(copy)) return copy as Record<string, unknown>;
    }
  } catch {
    // circular, or a BigInt: told in short below
  }
  return value === undefined || value === null ? {} : { text: shown(value) };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 500);

async function isAllowed(consent: () => unknown): Promise<boolean> {
  try {
    return (await consent()) === true;
  } catch {
    return false; // a question that could not be asked was not answered with yes
  }
}

export async function runChecked(
  given: unknown,
  { tools, enabled, host, consent, timeoutMs = TIMEOUT_MS, userText }: RunOptions,
): Promise<CallRecord> {
  const names = new Set(enabled);
  const offered = tools.filter(({ definition }) => names.has(definition.name));
  const checked = checkCall(
    given,
    offered.map(({ definition }) => definition),
  );
  const asked = (typeof given === 'object' && given !== null ? given : {}) as Partial<Record<keyof ToolCall, unknown>>;
  const name = typeof asked.name === 'string' ? asked.name.slice(0, 100) : '';
  const named = (): PageTool | undefined =>
    tools.find(({ definition }) => definition.name === (checked.ok ? checked.call.name : name));
  const record = (state: CallState, summary: string, more: Partial<CallRecord> = {}): CallRecord => ({
    name: checked.ok ? checked.call.name : name,
    arguments: storable(checked.ok ? checked.call.arguments : asked.arguments),
    title: named()?.title ?? (name || 'Unknown tool'),
    state,
    summary,
    value: { error: summary },
    brief: summary,
    repairs: checked.ok ? checked.repairs : [],
    ms: 0,
    ...more,
  });

  if (!checked.ok) {
    const off = named();
    return record(
      'refused',
      off && !offered.includes(off) ? `The tool "${off.title}" is switched off.` : checked.reason,
    );
  }
  // a small model copies badly: its values are put in the words of the last message
  const said =
    userText === undefined
      ? undefined
      : asSaid(
          checked.call,
          userText.slice(userText.lastIndexOf('\n') + 1),
          offered.map(({ definition }) => definition.name),
        );
  if (said) {
    checked.call = said.call;
    checked.repairs.push(...said.repairs);
  }
  const { call } = checked;
  const tool = offered.find(({ definition }) => definition.name === call.name)!;
  const invented = userText === undefined ? undefined : ungrounded(call, userText);
  if (invented !== undefined)
    return record(
      'refused',
      `The value ${shown(call.arguments[invented])} for ${invented} does not occur in your message, so nothing was done.`,
    );

  if (tool.changes === 'lasting' && !(await isAllowed(() => consent(tool, call))))
    return record('declined', 'This was not allowed, so nothing was done.', {
      value: { error: 'The user did not allow this call.' },
      brief: 'declined',
    });

  const started = performance.now();
  const ms = (): number => Math.round(performance.now() - started);
  try {
    const { value, summary, brief, live, entry } = await withinTime(
      async () => tool.run(call.arguments, host),
      timeoutMs,
      tool.title,
    );
    return record('done', summary, {
      value: storable(value),
      brief,
      ms: ms(),
      ...(live && { live }),
      ...(entry && { entry }),
    });
  } catch (error) {
    const state = error instanceof UnknownNameError ? 'refused' : 'failed';
    return record(state, error instanceof ToolError ? error.message : `${tool.title} failed: ${messageOf(error)}`, {
      ms: ms(),
      ...(error instanceof LateError && { late: true }),
    });
  }
}

class LateError extends ToolError {}

async function withinTime(run: () => Promise<Result>, timeoutMs: number, title: string): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new LateError(`${title} did not finish within ${timeoutMs / 1000} s. It may still take effect.`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([run(), late]);
  } finally {
    clearTimeout(timer);
  }
}
