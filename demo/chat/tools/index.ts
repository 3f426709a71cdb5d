/** The chat page's own tools, and how a model's call to one of them is run. */
import { getTime } from './get_time';
import { addNote, addTodo } from './lists';
import { navigate, readAloud, searchPage, setTheme, setVolume, zoom } from './page_tools';
import { runChecked, type CallRecord, type RunOptions } from './run_call';
import { calculateTool, convertUnits } from './sums';
import { setAlarm, setTimer } from './timers';
import type { PageTool } from './tool';

export const PAGE_TOOLS: readonly PageTool[] = [
  setTimer,
  setAlarm,
  getTime,
  calculateTool,
  convertUnits,
  addNote,
  addTodo,
  setTheme,
  setVolume,
  searchPage,
  navigate,
  zoom,
  readAloud,
];

/**
 * Checks a call against the tools that were offered, asks for consent where it changes something that lasts, and runs
 * it. Never throws.
 */
export const runCall = (
  call: unknown,
  options: Omit<RunOptions, 'tools'> & { tools?: readonly PageTool[] },
): Promise<CallRecord> => runChecked(call, { tools: PAGE_TOOLS, ...options });

export { askToNotify, browserHost, prepareSound, stopSpeaking, type PageParts } from './browser_host';
export { checkCall, type CheckedCall } from './check_call';
export { isGrounded } from './grounded';
export { entries, removeEntry } from './lists';
export type { CallRecord, CallState, RunOptions } from './run_call';
export { cancelTimer, resumeTimers, runningTimers, timeOf } from './timers';
export type { Changes, Definition, Entry, IconName, PageHost, PageStorage, PageTool, Result, Timer } from './tool';
