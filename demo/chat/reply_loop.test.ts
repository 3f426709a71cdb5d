import { expect, test } from 'vitest';
import type { GenerationResult, Message } from '../../src/index';
import type { KeptCall, Turn } from './history';
import { MISUNDERSTOOD, MOST_ROUNDS, replyWithTools, turnMessages, wordsOf } from './reply_loop';
import { memoryHost } from './tools/memory_host';
import { runCall, PAGE_TOOLS } from './tools/index';

const CALL = (text: string): string => `<|tool_call_start|>[${text}]<|tool_call_end|>`;
const enabled = PAGE_TOOLS.map(({ definition }) => definition.name);

/** Replies to the last of the requests with these answers in turn, through the real tools. */
async function reply(
  answers: string[],
  {
    demo = true,
    requests = ['Set a timer for 10 minutes'],
    finish = 'stop' as GenerationResult['finish'],
    allowed = true,
  } = {},
) {
  const host = memoryHost();
  const asked: Message[][] = [];
  const shown: string[] = [];
  const userText = requests.join('\n');
  const outcome = await replyWithTools(
    requests.map((content) => ({ role: 'user', content })),
    {
      demo,
      signal: new AbortController().signal,
      async generate(messages, onText) {
        asked.push(structuredClone(messages));
        const text = answers.shift() ?? '';
        for (let end = 1; end <= text.length; end++) onText(text.slice(0, end));
        return { text, result: { finish } as GenerationResult };
      },
      run: (call) => runCall(call, { enabled, host, consent: () => allowed, ...(demo && { userText }) }),
      onChange: ({ content }) => shown.push(content),
    },
  );
  const calls: KeptCall[] = (outcome.reply.steps ?? []).flatMap((step) => step.calls);
  return { ...outcome, asked, shown, calls, states: calls.map(({ state }) => state), host };
}

test('a call runs, its result goes back, the last words stay; markers never show', async () => {
  const {
    reply: turn,
    asked,
    shown,
    states,
  } = await reply([CALL('set_timer(minutes=10)'), 'The timer runs for 10 minutes.']);
  expect(turn.content).toBe('The timer runs for 10 minutes.');
  expect(states).toEqual(['done']);
  expect(asked[1].slice(1)).toEqual([
    { role: 'assistant', content: CALL('set_timer(minutes=10)') },
    { role: 'tool', content: 'ok' },
  ]);
  expect(shown.join('\n')).not.toMatch(/<\||tool_call/);
  expect(turnMessages(turn, false).at(1)).toMatchObject({
    role: 'tool',
    content: expect.stringContaining('"started":true'),
  });
});

test('text beside a call shows, half a marker does not', () => {
  expect(wordsOf('One moment. <|tool_call_start|>[x(a=1)')).toBe('One moment.');
  expect(wordsOf('One moment. <|tool_ca')).toBe('One moment.');
  expect(wordsOf('1 < 2, 2 <')).toBe('1 < 2, 2 <');
  expect(wordsOf('done<|tool_call_end|>')).toBe('done');
});

test('the demo model’s call with an invented value, an unknown tool or no readable call runs nothing and offers a larger model', async () => {
  for (const text of [
    'set_timer(minutes=25)',
    'order_pizza(count=2)',
    'set_timer(minutes=',
    'navigate(section="timer")',
  ]) {
    const { reply: turn, states, asked, host } = await reply([CALL(text), 'Done!'], { requests: ['Start a timer'] });
    expect(turn).toMatchObject({ content: MISUNDERSTOOD, offer: 'misunderstood' });
    expect(states).toEqual(['refused']);
    expect(asked).toHaveLength(1);
    expect(await host.storage.get('timers')).toBeUndefined();
    // it is not a precedent for the demo model; a larger one reads the whole
    expect(turnMessages(turn, true)).toEqual([{ role: 'assistant', content: MISUNDERSTOOD }]);
    expect(turnMessages(turn, false)).toHaveLength(3);
  }
});

test('a larger model reads why its call was refused, and corrects it', async () => {
  const {
    states,
    asked,
    reply: turn,
  } = await reply([CALL('set_timer(length=10)'), CALL('set_timer(minutes=10)'), 'It runs.'], { demo: false });
  expect(states).toEqual(['refused', 'done']);
  expect(JSON.parse(String(asked[1].at(-1)?.content))).toEqual({
    error: expect.stringContaining('no argument "length"'),
  });
  expect(turn).toMatchObject({ content: 'It runs.' });
});

test('what was half done is not called undone', async () => {
  const both = await reply([CALL('set_timer(minutes=10), set_theme(theme="minutes")'), CALL('zoom(percent=55)')]);
  expect(both.states).toEqual(['done', 'refused', 'refused']);
  expect(both.reply.content).toBe('A part of the request was not done.');
  expect(both.reply.offer).toBeUndefined();
});

test('the demo model is asked again with the last request alone, once', async () => {
  const requests = ['Hello!', 'Set a timer for 10 minutes'];
  for (const first of ['I have no tool for that.', CALL('set_volume(percent=77)')]) {
    const {
      asked,
      states,
      reply: turn,
    } = await reply([first, CALL('set_timer(minutes=10)'), 'It runs.'], { requests });
    expect(asked.map((messages) => messages.length)).toEqual([2, 1, 3]);
    expect(states).toEqual(['done']);
    expect(turn.content).toBe('It runs.');
  }
  const never = await reply(['I have no tool for that.', 'Sorry, no tool.', 'third'], { requests });
  expect(never.reply).toMatchObject({ content: 'Sorry, no tool.', offer: 'unanswered' });
});

test('a tool that has not ended in time is not called again', async () => {
  const late: KeptCall = {
    name: 'set_timer',
    arguments: { minutes: 10 },
    title: 'Timer',
    state: 'failed',
    summary: 'Timer did not finish within 10 s.',
    value: {},
    brief: '',
    repairs: [],
    ms: 10_000,
    late: true,
  };
  let runs = 0;
  const { reply: turn } = await replyWithTools(
    [
      { role: 'user', content: 'Hello!' },
      { role: 'user', content: 'Set a timer for 10 minutes' },
    ],
    {
      demo: true,
      signal: new AbortController().signal,
      generate: async () => ({ text: CALL('set_timer(minutes=10)'), result: { finish: 'stop' } as GenerationResult }),
      run: async () => (runs++, late),
      onChange: () => undefined,
    },
  );
  expect(runs).toBe(1);
  expect(turn.steps).toMatchObject([{ calls: [{ state: 'failed' }] }]);
});

test('what the demo model cannot do is answered with an offer, in German, too', async () => {
  for (const text of [
    'I do not know that.',
    'I am too small for that.',
    'I have no tool for that.',
    'Das weiß ich nicht.',
    'Dafür bin ich zu klein.',
    'Dafür habe ich kein Werkzeug.',
  ])
    expect((await reply([text])).reply).toMatchObject({ content: text, offer: 'unanswered' });
  for (const text of ['Hello! What can I do for you?', 'Gern geschehen.', 'I am sorry to hear that.'])
    expect((await reply([text])).reply.offer).toBeUndefined();
});

test('closing words with a figure that no result has, or without its unit, are not shown', async () => {
  const requests = ['Convert 12 miles to kilometres'];
  const call = CALL('convert_units(value=12, source="miles", target="kilometres")');
  expect((await reply([call, '12 miles are 19 matches.'], { requests })).reply.content).toBe('');
  expect((await reply([call, '12 miles are 19.3121 kilometres.'], { requests })).reply.content).toBe(
    '12 miles are 19.3121 kilometres.',
  );
  expect((await reply([call, 'That is 19.3121.'], { requests })).reply.content).toBe('');
  const speed = CALL('convert_units(value=60, source="mph", target="km/h")');
  expect(
    (await reply([speed, 'That is 96.5606 kilometres.'], { requests: ['Convert 60 mph to km/h'] })).reply.content,
  ).toBe('');
});

test('declined: nothing is done, and the demo model is not asked for words', async () => {
  const {
    states,
    asked,
    reply: turn,
  } = await reply([CALL('add_note(text="milk")')], { requests: ['Note: milk'], allowed: false });
  expect([states, asked.length, turn.content]).toEqual([['declined'], 1, 'Nothing was done.']);
});

test('a model that calls without end is stopped; a call in a stopped answer does not run', async () => {
  const endless = await reply(
    Array.from({ length: 9 }, () => CALL('set_timer(minutes=10)')),
    { demo: false },
  );
  expect([endless.calls.length, endless.ended]).toEqual([MOST_ROUNDS, 'rounds']);
  const stopped = await reply([CALL('set_timer(minutes=10)')], { finish: 'abort' });
  expect(stopped.reply).toEqual<Turn>({ role: 'assistant', content: '' });
});

test('a reply that was stopped goes on with its own text; steps that ran are not run again', async () => {
  const asked: { messages: Message[]; continues: boolean }[] = [];
  const parts = {
    demo: false,
    signal: new AbortController().signal,
    async generate(messages: Message[], onText: (text: string) => void, continues: boolean) {
      asked.push({ messages: structuredClone(messages), continues });
      onText(' and three');
      return { text: ' and three.', result: { finish: 'stop' } as GenerationResult };
    },
    run: () => Promise.reject(new Error('nothing is to run')),
    onChange: ({ content }: Turn) => shown.push(content),
  };
  const shown: string[] = [];
  const before: Message[] = [{ role: 'user', content: 'Count' }];
  const { reply: turn } = await replyWithTools(before, parts, {
    role: 'assistant',
    content: 'One, two',
    note: 'stopped',
  });
  expect(turn).toEqual({ role: 'assistant', content: 'One, two and three.' });
  expect(shown).toEqual(['One, two and three']);
  expect(asked).toEqual([{ messages: [...before, { role: 'assistant', content: 'One, two' }], continues: true }]);

  const call = {
    name: 'x',
    title: 'X',
    arguments: {},
    state: 'done',
    summary: 's',
    value: { a: 1 },
    brief: 'b',
    repairs: [],
    ms: 0,
  } as KeptCall;
  const { reply: acted } = await replyWithTools(before, parts, {
    role: 'assistant',
    content: '',
    steps: [{ text: 'call', calls: [call] }],
  });
  expect(acted).toMatchObject({ content: ' and three.'.trim(), steps: [{ calls: [call] }] });
  expect(asked[1]).toEqual({
    messages: [...before, { role: 'assistant', content: 'call' }, { role: 'tool', content: '{"a":1}' }],
    continues: false,
  });
});

test('thinking stays beside the words; the model reads it again while its reply goes on, and not in later turns', async () => {
  const asked: { messages: Message[]; continues: boolean }[] = [];
  const answers = [
    { reasoning: 'A timer.', text: CALL('set_timer(minutes=10)') },
    { reasoning: 'It', text: '' },
    { reasoning: ' runs.', text: 'Done.' },
  ];
  const shown: string[] = [];
  const parts = (finish: GenerationResult['finish'][]) => ({
    demo: false,
    signal: new AbortController().signal,
    async generate(messages: Message[], onText: (text: string, reasoning?: string) => void, continues: boolean) {
      asked.push({ messages: structuredClone(messages), continues });
      const { text, reasoning } = answers.shift()!;
      onText('', reasoning);
      onText(text, reasoning);
      return { text, reasoning, result: { finish: finish.shift() } as GenerationResult };
    },
    run: async () =>
      ({
        name: 'set_timer',
        title: 'Timer',
        arguments: {},
        state: 'done',
        summary: 's',
        value: { a: 1 },
        brief: 'ok',
        repairs: [],
        ms: 0,
      }) as KeptCall,
    onChange: ({ content, reasoning }: Turn) => shown.push(`${reasoning ?? ''}|${content}`),
  });
  const before: Message[] = [{ role: 'user', content: 'Set a timer' }];
  const cut = (await replyWithTools(before, parts(['stop', 'length']))).reply;
  expect(cut).toMatchObject({
    content: '',
    reasoning: 'It',
    steps: [{ text: CALL('set_timer(minutes=10)'), reasoning: 'A timer.' }],
  });
  const { reply: whole } = await replyWithTools(before, parts(['stop']), cut);
  expect(whole).toMatchObject({ content: 'Done.', reasoning: 'It runs.' });
  const step: Message[] = [
    { role: 'assistant', content: `<think>A timer.</think>${CALL('set_timer(minutes=10)')}` },
    { role: 'tool', content: '{"a":1}' },
  ];
  expect(asked[1]).toEqual({ messages: [...before, ...step], continues: false });
  expect(asked[2]).toEqual({
    messages: [...before, ...step, { role: 'assistant', content: '<think>It' }],
    continues: true,
  });
  expect(shown.at(-1)).toBe('It runs.|Done.');
  expect(turnMessages(whole, false).at(-1)).toEqual({ role: 'assistant', content: 'Done.' });
});

test('a call without markers counts for a tool that is on', async () => {
  const run = async (tools: object[]): Promise<number> => {
    const answers = ['[set_timer(minutes=10)]', 'Done.'];
    let runs = 0;
    await replyWithTools([{ role: 'user', content: 'x' }], {
      demo: false,
      tools,
      signal: new AbortController().signal,
      generate: async () => ({ text: answers.shift()!, result: { finish: 'stop' } as GenerationResult }),
      run: async () => (runs++, { name: 'set_timer', value: {} }) as unknown as KeptCall,
      onChange: () => undefined,
    });
    return runs;
  };
  expect([await run([{ name: 'set_timer' }]), await run([{ name: 'calculate' }])]).toEqual([1, 0]);
});

test('attached files stand before the words', () => {
  expect(
    turnMessages({ role: 'user', content: 'Sum it up', files: [{ name: 'a.txt', text: 'words' }] }, false),
  ).toEqual([{ role: 'user', content: 'File a.txt:\nwords\n\nSum it up' }]);
});
