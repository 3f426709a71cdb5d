import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PAGE_TOOLS, runCall, type CallRecord, type RunOptions } from './index';
import { memoryHost } from './memory_host';
import { define, ToolError, type PageTool } from './tool';

const all = PAGE_TOOLS.map(({ definition }) => definition.name);
const run = (call: unknown, options: Partial<RunOptions> = {}): Promise<CallRecord> =>
  runCall(call, { enabled: all, host: memoryHost(), consent: () => true, ...options });
const call = (name: string, given: unknown): unknown => ({ name, arguments: given });
const tool = (name: string, doing: PageTool['run'], changes: PageTool['changes'] = 'none'): PageTool => ({
  definition: define(name, name, {}),
  title: `The ${name}`,
  icon: 'note',
  changes,
  run: doing,
});

test('the tools are those that the demo model was trained with', () => {
  const trained = new Map<string, unknown>();
  for (const line of readFileSync(new URL('../../../recipe/heldout.jsonl', import.meta.url), 'utf8')
    .trim()
    .split('\n'))
    for (const definition of (JSON.parse(line) as { tools?: { name: string }[] }).tools ?? [])
      trained.set(definition.name, definition);
  expect(all).toHaveLength(13);
  for (const { definition } of PAGE_TOOLS) expect(definition, definition.name).toEqual(trained.get(definition.name));
});

test('a call that runs', async () => {
  const record = await run(call('calculate', { expression: '6 * 7' }));
  expect(record).toEqual({
    name: 'calculate',
    arguments: { expression: '6 * 7' },
    title: 'Calculator',
    state: 'done',
    summary: '6 * 7 = 42',
    value: { expression: '6 * 7', result: 42 },
    brief: '42',
    repairs: [],
    ms: expect.any(Number),
  });
  expect(JSON.parse(JSON.stringify(record))).toEqual(record);
});

test('a repaired call says so', async () => {
  const host = memoryHost();
  expect(await run(call('set_volume', { Percent: '30 %' }), { host })).toMatchObject({
    state: 'done',
    arguments: { percent: 30 },
    repairs: ['The argument "Percent" is percent.', 'percent: "30 %" is read as 30.'],
  });
  expect(host.log).toEqual(['volume 30']);
});

test('a timer and a note come with what takes them back', async () => {
  expect((await run(call('set_timer', { minutes: 5 }))).live).toMatchObject({ kind: 'timer' });
  expect((await run(call('add_note', { text: 'tea' }))).entry).toMatchObject({ list: 'notes', text: 'tea' });
});

test('a tool that was not offered is refused', async () => {
  const host = memoryHost();
  expect(await run(call('set_theme', { theme: 'dark' }), { host, enabled: ['zoom'] })).toMatchObject({
    state: 'refused',
    summary: 'The tool "Colours" is switched off.',
    title: 'Colours',
  });
  expect(await run(call('set_theme', { theme: 'dark' }), { host, enabled: new Set() })).toMatchObject({
    state: 'refused',
  });
  expect(await run(call('format_disk', {}), { host })).toMatchObject({
    state: 'refused',
    title: 'format_disk',
    summary: expect.stringMatching(/^There is no tool "format_disk"/),
  });
  expect(host.log).toEqual([]);
});

test('what the user did not say does not run', async () => {
  const host = memoryHost();
  expect(await run(call('set_volume', { percent: 7 }), { host, userText: 'Wake me at 7:30 tomorrow' })).toMatchObject({
    state: 'refused',
    summary: 'The value 7 for percent does not occur in your message, so nothing was done.',
  });
  expect(host.log).toEqual([]);
  expect(await run(call('set_alarm', { time: '7.30' }), { host, userText: 'Wake me at 7:30 tomorrow' })).toMatchObject({
    state: 'done',
    arguments: { time: '07:30' },
  });
});

test('a lasting change is asked about, others are not', async () => {
  const host = memoryHost();
  const asked: string[] = [];
  const consent: RunOptions['consent'] = ({ title }, { arguments: given }) => {
    asked.push(`${title} ${JSON.stringify(given)}`);
    return false;
  };
  expect(await run(call('add_note', { text: 'tea' }), { host, consent })).toMatchObject({
    state: 'declined',
    value: { error: 'The user did not allow this call.' },
  });
  expect(await run(call('set_theme', { theme: 'dark' }), { host, consent })).toMatchObject({ state: 'done' });
  expect(asked).toEqual(['Notes {"text":"tea"}']);
  expect(host.stored.size).toBe(0);
});

test('only true is consent', async () => {
  const answers: (() => unknown)[] = [
    () => 'yes',
    () => undefined,
    () => Promise.reject(new Error('closed')),
    () => {
      throw new Error('broken');
    },
  ];
  for (const answer of answers)
    expect((await run(call('add_note', { text: 'tea' }), { consent: answer as RunOptions['consent'] })).state).toBe(
      'declined',
    );
  expect((await run(call('add_note', { text: 'tea' }), { consent: async () => true })).state).toBe('done');
});

test('time to consent does not count against the limit', async () => {
  const consent = (): Promise<boolean> => new Promise((resolve) => setTimeout(() => resolve(true), 60));
  expect(await run(call('add_note', { text: 'tea' }), { consent, timeoutMs: 40 })).toMatchObject({ state: 'done' });
});

test('a tool that fails, hangs or gives nonsense becomes a result', async () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const tools = [
    tool('thrower', () => {
      throw new TypeError('x is not a function');
    }),
    tool('thrown', () => {
      throw 'just text';
    }),
    tool('rejecter', () => Promise.reject(new ToolError('The lamp is off.'))),
    tool('sleeper', () => new Promise(() => undefined)),
    tool('late', () => new Promise((_, reject) => setTimeout(() => reject(new Error('late')), 40))),
    tool('nothing', () => undefined as never),
    tool('circular', () => ({ value: circular, brief: 'ok', summary: 'Done.' })),
    tool('huge', () => ({ value: { text: 'x'.repeat(1e6) }, brief: 'ok', summary: 'Done.' })),
  ];
  const results = await Promise.all(
    tools.map(({ definition: { name } }) =>
      run(call(name, {}), { tools, enabled: tools.map(({ definition }) => definition.name), timeoutMs: 20 }),
    ),
  );
  expect(results.map(({ state, summary }) => `${state}: ${summary}`)).toEqual([
    'failed: The thrower failed: x is not a function',
    'failed: The thrown failed: just text',
    'failed: The lamp is off.',
    'failed: The sleeper did not finish within 0.02 s. It may still take effect.',
    'failed: The late did not finish within 0.02 s. It may still take effect.',
    expect.stringMatching(/^failed: The nothing failed: /),
    'done: Done.',
    'done: Done.',
  ]);
  expect(results.map(({ late }) => late)).toEqual([
    undefined,
    undefined,
    undefined,
    true,
    true,
    undefined,
    undefined,
    undefined,
  ]);
  expect(results[0].value).toEqual({ error: 'The thrower failed: x is not a function' });
  for (const record of results) expect(JSON.stringify(record).length).toBeLessThan(2000);
  await new Promise((resolve) => setTimeout(resolve, 60)); // a late rejection is no unhandled one
});

test('what cannot be done is told', async () => {
  for (const [name, given, summary] of [
    ['calculate', { expression: '1 / 0' }, 'A division by zero has no result.'],
    [
      'convert_units',
      { value: 1, source: 'litres', target: 'miles' },
      'Litres cannot become miles: one is a volume, the other a length.',
    ],
    [
      'get_time',
      { city: 'Atlantis' },
      'The time in Atlantis is not known here. Name a larger city in the same time zone.',
    ],
    ['set_timer', { minutes: 0 }, 'The timer is to run 0 minutes. It can run 1 to 10080 minutes, which is 7 days.'],
  ] as const)
    expect(await run(call(name, given))).toMatchObject({ state: 'failed', summary, value: { error: summary } });
});

test('a name that the page does not have is refused, and nothing is tried', async () => {
  const host = memoryHost();
  for (const [name, given, summary] of [
    ['set_theme', { theme: 'ocean' }, 'There is no theme "ocean". The themes are: light, dark, system.'],
    [
      'navigate',
      { section: 'milk and stamps' },
      'There is no section "milk and stamps". The sections are: Models on this device, Settings, Chat.',
    ],
    ['read_aloud', { section: 'sky' }, 'There is no part "sky" to read. The parts are: last answer, Settings.'],
  ] as const)
    expect(await run(call(name, given), { host })).toMatchObject({
      state: 'refused',
      summary,
      value: { error: summary },
    });
  expect(host.log).toEqual([]);
});

test('with the message, a value is put in its words, and the card shows the call that runs', async () => {
  const host = memoryHost();
  expect(await run(call('add_todo', { task: 'buy milkk' }), { host, userText: 'Hello\nNote: buy milk' })).toMatchObject(
    { name: 'add_note', title: 'Notes', arguments: { text: 'buy milk' }, state: 'done' },
  );
  expect(host.stored.get('notes')).toMatchObject([{ text: 'buy milk' }]);
  expect(host.stored.has('todos')).toBe(false);
});

test('hostile calls give a small record that JSON can hold', async () => {
  const loop: Record<string, unknown> = {};
  loop.loop = loop;
  const calls: unknown[] = [
    undefined,
    null,
    7,
    'set_timer',
    [],
    {},
    call('x'.repeat(1e6), {}),
    call('add_note', { text: 'x'.repeat(1e6) }),
    call('set_timer', loop),
    call('set_timer', { minutes: 10n }),
    call('set_timer', [1]),
    call('set_timer', JSON.parse('{"__proto__": {"minutes": 5}}')),
    call('__proto__', {}),
    call('set_timer', { minutes: Number.NaN }),
  ];
  for (const each of calls) {
    const record = await run(each);
    expect(record.state).toBe('refused');
    expect(JSON.stringify(record).length).toBeLessThan(2000);
  }
  expect(({} as Record<string, unknown>).minutes).toBeUndefined();
});

test('a tool cannot be reached by a call that was refused for its arguments', async () => {
  const host = memoryHost();
  for (const given of [{ percent: 'loud' }, { percent: [50] }, { volume: 50 }, {}])
    expect((await run(call('set_volume', given), { host })).state).toBe('refused');
  expect(host.log).toEqual([]);
});
