/** What the main thread of a page does, by the browser's own trace. */
import type { Browser, Page } from 'playwright';

export interface Task {
  /** processor time, which other processes do not lengthen */
  cpuMs: number;
  ms: number;
  /** what it consists of, the longest first: names of trace events with their time in ms */
  parts: [name: string, ms: number][];
}

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  tdur?: number;
  args: {
    name?: string;
    data?: { frames?: { url: string; processId: number }[]; url?: string; functionName?: string };
  };
}

const CATEGORIES = ['toplevel', 'devtools.timeline', 'disabled-by-default-devtools.timeline', 'v8'];

/** The tasks of the page's main thread while something is done, the one with the most processor time first. */
export async function tasksDuring(browser: Browser, page: Page, act: () => Promise<unknown>): Promise<Task[]> {
  await browser.startTracing(page, { categories: CATEGORIES });
  await act();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  const frames = traceEvents.flatMap(({ name, args }) =>
    name === 'TracingStartedInBrowser' ? (args.data?.frames ?? []) : [],
  );
  const process = frames.find(({ url }) => url === page.url())?.processId;
  const thread = traceEvents.find(
    ({ name, pid, args }) => name === 'thread_name' && pid === process && args.name === 'CrRendererMain',
  );
  if (!thread) throw new Error(`the trace has no main thread of ${page.url()}`);
  const own = traceEvents.filter(({ pid, tid, ph }) => ph === 'X' && pid === thread.pid && tid === thread.tid);
  const tasks = own.filter(({ name }) => name === 'ThreadControllerImpl::RunTask' || name === 'RunTask');
  // one name of the two is there, by the browser's version
  const name = tasks.some((task) => task.name === 'ThreadControllerImpl::RunTask')
    ? 'ThreadControllerImpl::RunTask'
    : 'RunTask';
  return tasks
    .filter((task) => task.name === name && task.tdur !== undefined)
    .sort((a, b) => b.tdur! - a.tdur!)
    .map(({ ts, dur = 0, tdur = 0 }) => ({
      cpuMs: tdur / 1000,
      ms: dur / 1000,
      parts: own
        .filter((event) => event.ts >= ts && event.ts + (event.dur ?? 0) <= ts + dur && event.name !== name)
        .sort((a, b) => (b.tdur ?? 0) - (a.tdur ?? 0))
        .slice(0, 6)
        .map((event) => [
          `${event.name}${event.args.data?.functionName ? ` ${event.args.data.functionName}` : ''}`,
          Math.round((event.tdur ?? 0) / 100) / 10,
        ]),
    }));
}
