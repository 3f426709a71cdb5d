/** What a person may see of an answer. */
import type { ParsedAnswer } from '../index';

const MARKER = '<|tool_call_start|>';

/** The words of an answer, also while it is being written: no call, no marker, no first part of a marker. */
export function visibleWords(answer: string, readCalls: (answer: string) => ParsedAnswer): string {
  const text = readCalls(answer).text.replaceAll('<|tool_call_end|>', '').trimEnd();
  // one character alone may be meant
  for (let length = Math.min(MARKER.length - 1, text.length); length > 1; length--)
    if (MARKER.startsWith(text.slice(-length))) return text.slice(0, -length).trimEnd();
  return text;
}

/** A reply of an earlier visit without its calls and its thinking: the engine that reads them may not be loaded yet. */
export const visibleText = (content: string): string =>
  content
    .replace(/^\s*<think>[\s\S]*?(?:<\/think>|$)|<\|tool_call_start\|>[\s\S]*?(?:<\|tool_call_end\|>|$)/g, '')
    .trim();
