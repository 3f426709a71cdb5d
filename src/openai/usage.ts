/** The figures of answers. */
import type { GenerationResult } from '../index';
import type { Timings, Usage } from './types';

/** The sum of several answers to one prompt: the prompt counts once. */
export function usageOf(results: readonly GenerationResult[]): Usage {
  const prompt = results[0]?.promptTokens ?? 0;
  const completion = results.reduce((sum, { tokens }) => sum + tokens, 0);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: results[0]?.reusedTokens ?? 0 },
  };
}

export function timingsOf(results: readonly GenerationResult[]): Timings {
  const sum = (figure: (result: GenerationResult) => number): number =>
    results.reduce((total, result) => total + figure(result), 0);
  const read = sum(({ promptTokens, reusedTokens }) => promptTokens - reusedTokens);
  const prefillMs = sum((result) => result.prefillMs);
  const decodeMs = sum((result) => result.decodeMs);
  return {
    cache_n: sum(({ reusedTokens }) => reusedTokens),
    prompt_n: read,
    prompt_ms: prefillMs,
    prompt_per_second: perSecond(read, prefillMs),
    predicted_n: sum(({ tokens }) => tokens),
    predicted_ms: decodeMs,
    predicted_per_second: perSecond(
      sum(({ tokens }) => Math.max(0, tokens - 1)),
      decodeMs,
    ),
  };
}

const perSecond = (n: number, ms: number): number => (ms > 0 ? (n * 1000) / ms : 0);
