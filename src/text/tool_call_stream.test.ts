import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createToolCallStream, type CallStreamPart } from './tool_call_stream';
import { CALLS_END, CALLS_START, readCalls, type ParsedAnswer, type ToolCall } from './tool_calls';

const tools = [{ name: 'set_timer' }, { type: 'function', function: { name: 'page.add_note' } }, '{"name": "now"}'];

/** A generator of whole numbers below n, the same in each run. */
const createRandom = (seed: number): ((n: number) => number) => {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
};
type Random = ReturnType<typeof createRandom>;
const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)];

function readPieces(pieces: readonly string[], offered: readonly (object | string)[] = tools): CallStreamPart[] {
  const parts: CallStreamPart[] = [];
  const stream = createToolCallStream((part) => parts.push(part), { tools: offered });
  for (const piece of pieces) stream.push(piece);
  stream.flush();
  return parts;
}

const gather = (parts: readonly CallStreamPart[]): ParsedAnswer => ({
  text: parts.map((part) => (part.type === 'text' ? part.text : '')).join(''),
  calls: parts.flatMap((part) => (part.type === 'call' ? [part.call] : [])),
  broken: parts.flatMap((part) => (part.type === 'malformed' ? [part.text] : [])),
});

/** Pieces of 1 to `most` UTF-16 units. */
function split(random: Random, text: string, most: number): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    const length = 1 + random(most);
    pieces.push(text.slice(at, at + length));
    at += length;
  }
  return pieces;
}

const block = (inside: string): string => CALLS_START + inside + CALLS_END;

describe('what is emitted, and when', () => {
  it('gives a call when its bracket closes, before the block ends', () => {
    const parts: CallStreamPart[] = [];
    const stream = createToolCallStream((part) => parts.push(part), { tools });
    stream.push(`I set it. ${CALLS_START}[set_timer(minutes=5`);
    expect(parts).toEqual([{ type: 'text', text: 'I set it.' }]);
    stream.push('), now(');
    expect(parts.slice(1)).toEqual([{ type: 'call', call: { name: 'set_timer', arguments: { minutes: 5 } } }]);
    stream.push(')]');
    expect(parts.length).toBe(3);
  });

  it('gives text at once that cannot be a call', () => {
    const parts: CallStreamPart[] = [];
    const stream = createToolCallStream((part) => parts.push(part), { tools });
    for (const piece of ['[link](', 'a) ', '<', '|', 'x', '\n[1, ', '2]']) stream.push(piece);
    expect(gather(parts).text).toBe('[link](a) <|x\n[1, 2]');
  });

  it.each<[string, string, CallStreamPart[]]>([
    ['text alone stays as it is', ' a \n', [{ type: 'text', text: ' a \n' }]],
    ['a marker alone', 'a<|tool_call_end|>b', [{ type: 'text', text: 'ab' }]],
    ['half a marker at the end', 'a <|tool_call', [{ type: 'text', text: 'a <|tool_call' }]],
    [
      'a block that is no call',
      `a ${block('[hello there]')}`,
      [
        { type: 'text', text: 'a' },
        { type: 'malformed', text: '[hello there]' },
      ],
    ],
    ['a block that does not end', `${CALLS_START}[now(`, [{ type: 'malformed', text: '[now(' }]],
    [
      'a list without markers',
      'Yes:\n[now()]\nDone',
      [
        { type: 'text', text: 'Yes:' },
        { type: 'call', call: { name: 'now', arguments: {} } },
        { type: 'text', text: '\n\nDone' },
      ],
    ],
    [
      'an end marker in a text',
      block('[page.add_note(text="a <|tool_call_end|> b"), now()]'),
      [
        { type: 'call', call: { name: 'page.add_note', arguments: { text: 'a <|tool_call_end|> b' } } },
        { type: 'call', call: { name: 'now', arguments: {} } },
      ],
    ],
  ])('%s', (_, answer, wanted) => {
    const whole = (pieces: string[]): CallStreamPart[] =>
      readPieces(pieces).reduce<CallStreamPart[]>((all, part) => {
        const before = all.at(-1);
        if (part.type !== 'text' || before?.type !== 'text') return [...all, part];
        return [...all.slice(0, -1), { type: 'text', text: before.text + part.text }];
      }, []);
    for (const most of [1, 2, 3, 7, 1000]) expect(whole(split(createRandom(most), answer, most))).toEqual(wanted);
  });
});

/** Values that JSON and Python's literals share. */
function randomValue(random: Random, depth = 0): unknown {
  const kinds = depth < 3 ? 8 : 5;
  const text = (): string =>
    Array.from({ length: random(8) }, () =>
      pick(random, ['a', 'Z', '9', ' ', '"', "'", '\\', '\n', 'é', '🦀', ',', ')', ']', '=', '#', '<|', CALLS_END]),
    ).join('');
  switch (random(kinds)) {
    case 0:
      return random(2000) - 1000;
    case 1:
      return (random(2_000_000) - 1_000_000) / 64;
    case 2:
      return pick(random, [true, false, null]);
    case 5:
      return Array.from({ length: random(4) }, () => randomValue(random, depth + 1));
    case 6:
      return Object.fromEntries(
        Array.from({ length: random(4) }, () => [
          `k${random(9)}${pick(random, ['', '-x', 'é', ' y'])}`,
          randomValue(random, depth + 1),
        ]),
      );
    default:
      return text();
  }
}

const python = (value: unknown): string => {
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (value === null) return 'None';
  if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
  if (typeof value === 'object')
    return `{${Object.entries(value)
      .map(([key, item]) => `${JSON.stringify(key)}: ${python(item)}`)
      .join(', ')}}`;
  return JSON.stringify(value);
};

const randomCall = (random: Random): ToolCall => ({
  name: pick(random, ['set_timer', 'page.add_note', 'now', 'überblick']),
  arguments: Object.fromEntries(Array.from({ length: random(4) }, (_, i) => [`arg_${i}`, randomValue(random)])),
});

const written = ({ name, arguments: given }: ToolCall): string =>
  `${name}(${Object.entries(given)
    .map(([key, value]) => `${key}=${python(value)}`)
    .join(', ')})`;

/** An expectation that costs little where it holds. */
function expectEqual(got: unknown, wanted: unknown, answer: string): void {
  if (!isDeepStrictEqual(got, wanted)) expect(got, answer).toEqual(wanted);
}

const CALLS = 20_000;
it(`round trip of ${CALLS} generated calls in random splits, in Python's form and in JSON`, () => {
  const random = createRandom(29);
  let calls = 0;
  let marksInTexts = 0;
  while (calls < CALLS) {
    const given = Array.from({ length: 1 + random(3) }, () => randomCall(random));
    const inside = random(2) ? `[${given.map(written).join(', ')}]` : JSON.stringify(given);
    const before = pick(random, ['', 'I do it now.', 'Two lines\n\nof [text] ']);
    const after = pick(random, ['', ' Done.', '\n']);
    const answer = before + block(inside) + after;
    calls += given.length;
    if (inside.includes(CALLS_END)) marksInTexts++;
    const read = gather(readPieces(split(random, answer, pick(random, [1, 3, 8, 40]))));
    expectEqual(read, { text: (before + after).trim(), calls: given, broken: [] }, answer);
  }
  expect(marksInTexts).toBeGreaterThan(100);
});

const PIECES = [
  ...[CALLS_START, CALLS_END, CALLS_START, CALLS_END, '<|tool_call', '|>'],
  ...['[', ']', '(', ')', '{', '}', ',', ', ', '=', ':', '"', "'", '"""', '\\', '#', '```json\n', '```'],
  ...['\n', '\r\n', ' ', 'set_timer', 'now()', 'now', 'minutes', '=5', 'True', 'None', '**{', 'é', '🦀', '-1.5'],
  ...['set_timer(minutes=5)', '[set_timer(minutes=5)]', '[now()]', '{"name": "now"}', 'Hello there.'],
];

const INPUTS = 20_000;
it(`${INPUTS} mutated answers: never throws, finds in any split what readCalls finds, shows no marker`, () => {
  const random = createRandom(7);
  let [withCalls, withBroken] = [0, 0];
  for (let i = 0; i < INPUTS; i++) {
    let answer = random(3)
      ? Array.from({ length: random(14) }, () => pick(random, PIECES)).join('')
      : `Yes. ${block(`[${written(randomCall(random))}, ${written(randomCall(random))}]`)}\nDone`;
    for (let n = random(3); n > 0; n--) {
      const at = random(answer.length + 1);
      answer = answer.slice(0, at) + pick(random, [...PIECES, '']) + answer.slice(at + random(4));
    }
    const offered = random(4) ? tools : [];
    const wanted = readCalls(answer, { tools: offered });
    const parts = readPieces(split(random, answer, pick(random, [1, 2, 5, 30])), offered);
    const read = gather(parts);
    const marked = parts.some((part) => part.type === 'text' && /<\|tool_call_(start|end)\|>/.test(part.text));
    expectEqual(
      { calls: read.calls, broken: read.broken.length > 0, text: read.text.trim(), marked },
      {
        calls: wanted.calls,
        broken: wanted.broken.length > 0,
        text: wanted.text.replaceAll(CALLS_END, '').trim(),
        marked: false,
      },
      answer,
    );
    if (wanted.calls.length) withCalls++;
    if (wanted.broken.length) withBroken++;
  }
  expect(withCalls).toBeGreaterThan(INPUTS / 10);
  expect(withBroken).toBeGreaterThan(INPUTS / 10);
});

it('takes time that grows with the length of what it reads', () => {
  const long = 30_000;
  for (const answer of [
    `${CALLS_START}[now(text="${')'.repeat(long)}`,
    CALLS_START + CALLS_END.repeat(long / 16),
    `${CALLS_START}[now(text="${`${CALLS_END}")`.repeat(long / 18)}`,
    CALLS_START.repeat(long / 18),
    `[${'[now(), '.repeat(long / 8)}`,
    '<|tool_call_'.repeat(long / 12),
    `${CALLS_START}${'{"name": '.repeat(long / 9)}`,
  ]) {
    const start = performance.now();
    readPieces(split(createRandom(1), answer, 8));
    expect(performance.now() - start, answer.slice(0, 60)).toBeLessThan(5000);
  }
});
