/**
 * How well a model calls tools: cases run greedily through the public API in headless Chromium. `npm run eval --
 * --help` explains the options.
 *
 * A line of the file of cases is `{ messages, tools, expect: { calls } | { none: true, says? } | { json }, skill? }`.
 * Prints figures by skill and the failures.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type * as Rivulet from '../../src/index';
import { readCalls, type ToolCall } from '../../src/text/tool_calls';
import { launchChromium, openPage, serve } from '../harness';
import { file, flag, oneOf, optionalFile, startTool, text, whole } from './options';
import { generator } from './tiny';
import { readTrainingText, unseen } from './unseen_words';

/** A call that is wanted. An argument may also have one of the values in `accept`. */
export interface WantedCall extends ToolCall {
  accept?: Record<string, unknown[]>;
}

export interface Case {
  messages: Rivulet.Message[];
  tools?: object[];
  /** `says`: a regular expression that the words of an answer without a call must match */
  expect: { calls?: WantedCall[]; none?: boolean; says?: string; json?: unknown };
  /** what the case is counted under */
  skill?: string;
}

export interface Outcome {
  skill: string;
  /**
   * the whole answer as it should be; where no call is wanted, that there is none, and the words if `says` asks for
   * some
   */
  exact: boolean;
  /** calls where a call is wanted, and only there */
  decided: boolean;
  expect: Case['expect'];
  asked: unknown;
  answer: string;
}

export interface Figures {
  cases: number;
  exact: number;
  decided: number;
}

const skillOf = ({ skill, expect }: Case): string =>
  skill ?? (expect.calls ? 'call' : 'json' in expect ? 'JSON' : 'no call');

export function judge(given: Case, answer: string): Outcome {
  const { expect, messages } = given;
  const { calls, broken, text } = readCalls(answer);
  const called = calls.length + broken.length > 0;
  const exact = expect.calls
    ? broken.length === 0 &&
      calls.length === expect.calls.length &&
      expect.calls.every((wanted, i) => isRight(calls[i], wanted))
    : 'json' in expect
      ? isDeepStrictEqual(json(text), expect.json)
      : !called && new RegExp(expect.says ?? '', 'isu').test(text);
  return {
    skill: skillOf(given),
    exact,
    decided: called === Boolean(expect.calls?.length),
    expect,
    asked: messages.at(-1)?.content,
    answer,
  };
}

const trimmed = (value: unknown): unknown => (typeof value === 'string' ? value.trim() : value);

function isRight(call: ToolCall, { name, arguments: wanted, accept = {} }: WantedCall): boolean {
  const names = Object.keys(wanted);
  if (call.name !== name || names.length !== Object.keys(call.arguments).length) return false;
  return names.every((key) =>
    [wanted[key], ...(accept[key] ?? [])].some((value) =>
      isDeepStrictEqual(trimmed(call.arguments[key]), trimmed(value)),
    ),
  );
}

function json(text: string): unknown {
  try {
    return JSON.parse(text.replace(/^```(?:json)?\n|\n```$/g, ''));
  } catch {
    return undefined;
  }
}

/** Figures by skill, in the order in which they appear, and over all. */
export function figures(outcomes: readonly Outcome[]): Record<string, Figures> {
  const of = (part: readonly Outcome[]): Figures => ({
    cases: part.length,
    exact: part.filter(({ exact }) => exact).length,
    decided: part.filter(({ decided }) => decided).length,
  });
  const skills = [...new Set(outcomes.map(({ skill }) => skill))];
  return Object.fromEntries([
    ...skills.map((skill) => [skill, of(outcomes.filter((o) => o.skill === skill))] as const),
    ['all', of(outcomes)],
  ]);
}

export interface EvalOptions {
  model: string;
  backend: 'wasm' | 'webgpu';
  cases: Case[];
  /** calls are held to the tools */
  hold?: boolean;
}

/** Runs the cases one after another; `emit` gets each outcome. */
export async function evaluate(
  { model, backend, cases, hold = false }: EvalOptions,
  emit: (outcome: Outcome) => void,
): Promise<void> {
  const server = await serve({ mounts: { '/model': dirname(resolve(model)) } });
  const browser = await launchChromium({ webgpu: backend === 'webgpu' });
  try {
    const page = await openPage(browser, server.origin, '/e2e/pages/engine.html');
    await page.waitForFunction(() => 'rivulet' in window);
    const call = (body: string, argument: unknown): Promise<unknown> =>
      page.evaluate(`(async (a) => { ${body} })(${JSON.stringify(argument)})`);
    await call('window.model = await window.rivulet.load({ url: a.url }, a.options)', {
      url: `${server.origin}/model/${basename(model)}`,
      options: { backend, allowSoftware: true, cache: false, constraints: hold },
    });
    for (const given of cases) {
      const answer = await call('return (await window.model.chat(a.messages, a.options).result).text', {
        messages: given.messages,
        options: {
          tools: given.tools,
          ...(hold && given.tools?.length && { toolChoice: 'auto' }),
          temperature: 0,
          repetitionPenalty: 1,
          maxTokens: 160,
        },
      });
      emit(judge(given, String(answer)));
    }
  } finally {
    await browser.close();
    await server.close();
  }
}

/** N of the cases without repetition, spread over the file. */
function draw(cases: Case[], n: number, seed: number): Case[] {
  const random = generator(seed);
  const order = cases.map((given, i) => ({ given, i, key: random() })).sort((a, b) => a.key - b.key);
  return order
    .slice(0, n)
    .sort((a, b) => a.i - b.i)
    .map(({ given }) => given);
}

export function readCases(path: string): Case[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.flatMap((line, i): Case[] => {
    if (!line.trim()) return [];
    const given = JSON.parse(line) as Case;
    const { messages, expect } = given;
    if (
      !Array.isArray(messages) ||
      !(expect && (Array.isArray(expect.calls) || expect.none === true || 'json' in expect))
    )
      throw new Error(
        `${path}, line ${i + 1} is not a case. Write { messages, tools, expect: { calls } | { none: true } | { json } }.`,
      );
    return [given];
  });
}

const root = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
/** the recipe's two sets: its grammar with held-out phrases and values, and words that its grammar never has */
export const SETS = { grammar: root('recipe/heldout.jsonl'), words: root('recipe/heldout_words.jsonl') };

async function main(): Promise<void> {
  const { model, backend, set, n, seed, show, hold, ...values } = startTool(
    'npm run eval --',
    'Checks how well a model calls tools, with cases that run greedily in headless Chromium.',
    {
      model: file('a GGUF file', root('public/models/rivulet-tiny.gguf')),
      set: oneOf(['both', 'grammar', 'words'], 'the held-out set of the recipe', 'both'),
      cases: optionalFile('a JSON Lines file of other cases, instead of a set'),
      backend: oneOf(['wasm', 'webgpu'], 'the backend', 'wasm'),
      n: whole('how many cases to draw from each file; without this option, all', undefined, 1),
      seed: whole('of the draw', 1),
      show: text(
        'N|all',
        'failures to print for each skill; without this option, 3, and none of the set "words": who trains must not read it',
      ),
      hold: flag('calls are held to the tools'),
      json: flag('prints one JSON object for each file'),
    },
  );
  const paths = values.cases ? [values.cases] : set === 'both' ? Object.values(SETS) : [SETS[set]];
  for (const path of paths) {
    const all = readCases(path);
    const cases = draw(all, n ?? all.length, seed);
    const outcomes: Outcome[] = [];
    await evaluate({ model, backend, cases, hold }, (outcome) => {
      outcomes.push(outcome);
      if (outcomes.length % 50 === 0) console.error(`${outcomes.length} of ${cases.length}`);
    });
    const result = figures(outcomes);
    const failures = outcomes.filter(({ exact }) => !exact);
    const most = show === 'all' ? Infinity : Number(show ?? (path === SETS.words ? 0 : 3));
    const shown = Object.keys(result).flatMap((skill) => failures.filter((o) => o.skill === skill).slice(0, most));
    const novelty = path === SETS.words ? unseen(all, readTrainingText()) : undefined;
    if (values.json)
      console.log(
        JSON.stringify({
          model: basename(model),
          cases: basename(path),
          backend,
          skills: result,
          failures: shown,
          novelty,
        }),
      );
    else print(basename(path), result, shown);
    if (novelty && !values.json)
      console.log(
        `Of ${novelty.requests} requests with a call, ${novelty.withUnseenWord} have a content word that no file of the recipe has, ${novelty.outsideValues} of them outside the values. ` +
          `Of ${novelty.tools} tools, the recipe has no name for ${novelty.unseenTools}.`,
      );
  }
}

function print(cases: string, result: Record<string, Figures>, shown: readonly Outcome[]): void {
  for (const { skill, asked, expect, answer } of shown)
    console.log(
      `${skill}: ${JSON.stringify(asked)}\n  wanted ${JSON.stringify(expect.calls ?? ('json' in expect ? expect.json : (expect.says ?? 'no call')))}\n  got    ${answer}`,
    );
  console.log(
    `\n${cases}\n${'skill'.padEnd(26)}${['cases', 'exact', 'decision'].map((name) => name.padStart(10)).join('')}`,
  );
  const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`.padStart(10);
  for (const [skill, f] of Object.entries(result))
    console.log(
      `${skill.padEnd(26)}${String(f.cases).padStart(10)}${share(f.exact, f.cases)}${share(f.decided, f.cases)}`,
    );
}

if (process.argv[1]?.endsWith('eval.ts')) await main();
