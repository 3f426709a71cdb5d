import { describe, expect, test } from 'vitest';
import type { KeptCall } from '../history';
import { branch, conversationIn, newConversation, type ChatMessage, type Conversation } from './conversation';
import { fileName, toJson, toMarkdown } from './export';
import { depthOf, fromJson, fromMarkdown, MOST_BYTES, readConversations } from './import';

const call: KeptCall = {
  name: 'set_timer',
  title: 'Timer',
  arguments: { minutes: 10 },
  state: 'done',
  summary: 'It runs.',
  value: { started: true },
  brief: 'ok',
  repairs: [],
  ms: 1,
};

function sample(): Conversation {
  const made: Conversation = { ...newConversation(1000), id: 'c1', title: 'Packing list', named: 5 };
  const add = (id: string, parent: string | null, more: Partial<ChatMessage>): void => {
    made.messages[id] = {
      id,
      parent,
      role: id.startsWith('q') ? 'user' : 'assistant',
      content: `text of ${id}`,
      created: 1000 + Object.keys(made.messages).length,
      revision: 0,
      ...(id.startsWith('a') && { finish: 'stop' as const }),
      ...more,
    };
    made.leaf = id;
  };
  add('q1', null, {
    content: 'Line one\n\n## You\n<!-- rivulet user -->\n\\<!-- rivulet end -->',
    files: [{ name: 'notes.md', text: '# Title\n```js\n1\n```\n<!-- rivulet end -->\n````' }],
  });
  add('a1', 'q1', { model: 'LFM2-350M', content: '## A heading\n\ntext', steps: [{ text: 'x', calls: [call] }] });
  add('a2', 'q1', { model: 'Rivulet tiny' });
  add('q2', 'a1', {});
  add('a3', 'q2', { content: '```\n# code\n```' });
  return made;
}

const words = ({ messages, leaf }: Conversation): unknown =>
  branch({ messages, leaf } as Conversation).map(({ role, content, model, files }) => ({
    role,
    content,
    model,
    files,
  }));

test('JSON: what is exported comes back equal, with all branches', () => {
  const given = sample();
  const [read] = fromJson(toJson([given]), 'x.json');
  expect(read).toEqual(conversationIn(JSON.parse(JSON.stringify(given))));
});

test('JSON: what was deleted is not given away', () => {
  const given = sample();
  for (const id of ['q1', 'a2']) Object.assign(given.messages[id], { deleted: true, reasoning: `thought of ${id}` });
  const text = toJson([given]);
  expect(text).not.toContain('Line one');
  expect(text).not.toContain('text of a2');
  expect(text).not.toContain('thought of');
  const [read] = fromJson(text, 'x.json');
  expect(branch(read).map(({ id }) => id)).toEqual(['a1', 'q2', 'a3']);
});

test('Markdown: the branch that is shown comes back, whatever its texts look like', () => {
  const given = sample();
  const text = toMarkdown(given);
  expect(text).toContain('# Packing list');
  expect(text).toContain('## LFM2-350M');
  expect(text).toContain('set_timer(minutes=10)');
  const read = fromMarkdown(text, 'x.md');
  expect(read.title).toBe('Packing list');
  expect(words(read)).toEqual(words(given));
  expect(words(fromMarkdown(text.replaceAll('\n', '\r\n'), 'x.md'))).toEqual(words(given));
});

test('messages in the form of OpenAI: parts, tools, several conversations', () => {
  const messages = [
    { role: 'system', content: 'Be brief.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is ' },
        { type: 'image_url', image_url: { url: 'https://x' } },
      ],
    },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 't1', type: 'function', function: { name: 'calculate', arguments: '{"expression":"1+1"}' } }],
    },
    { role: 'tool', tool_call_id: 't1', content: '2' },
    { role: 'assistant', content: 'It is 2.' },
    { role: 'user', content: 'Thanks' },
  ];
  const [read] = fromJson(JSON.stringify(messages), 'x.json');
  expect(branch(read)).toMatchObject([
    { role: 'user', content: 'What is \n[image_url]' },
    {
      role: 'assistant',
      content: 'It is 2.',
      steps: [
        { calls: [{ name: 'calculate', arguments: { expression: '1+1' }, summary: '2', value: { result: '2' } }] },
      ],
    },
    { role: 'user', content: 'Thanks' },
  ]);
  expect(fromJson(JSON.stringify({ title: 'One', messages }), 'x.json')[0].title).toBe('One');
  expect(fromJson(JSON.stringify([{ messages }, { messages }]), 'x.json')).toHaveLength(2);
});

describe('hostile files are refused: what was found, what was expected, what to do', () => {
  const ours = (conversations: unknown, version: unknown = 1): string =>
    JSON.stringify({ format: 'rivulet-conversations', version, conversations });
  const message = { id: 'm', parent: null, role: 'user', content: 'x', created: 1, revision: 0 };
  const one = (messages: unknown): string => ours([{ id: 'c', messages }]);
  test.each<[string, string, RegExp]>([
    ['no JSON', 'hello', /got no JSON/],
    ['a number', '7', /got 7/],
    ['an empty list', '[]', /got an empty list/],
    ['a list of numbers', '[1]', /message 1: 1/],
    ['an unknown role', '[{"role":"root","content":"x"}]', /role "root"/],
    ['content of another kind', '[{"role":"user","content":{"a":1}}]', /content an object/],
    ['only system messages', '[{"role":"system","content":"x"}]', /only system messages/],
    ['a later version', ours([], 99), /version 99/],
    ['no list', ours({}), /conversations: an object/],
    ['no messages', ours([{ id: 'c' }]), /without messages/],
    ['an id that is a path', ours([{ id: '../../x', messages: { m: message } }]), /letters, digits/],
    [
      'an id of a prototype',
      '{"format":"rivulet-conversations","version":1,"conversations":[{"id":"c","messages":{"__proto__":{"id":"__proto__","parent":null,"role":"user","content":"x"}}}]}',
      /__proto__/,
    ],
    ['a message under another id', one({ n: message }), /same id/],
    ['a parent that is not there', one({ m: { ...message, parent: 'lost' } }), /parent "lost"/],
    ['a parent from the prototype', one({ m: { ...message, parent: 'constructor' } }), /parent "constructor"/],
    ['a message that is its own parent', one({ m: { ...message, parent: 'm' } }), /own ancestor/],
    [
      'a circle of parents',
      one({ m: { ...message, parent: 'n' }, n: { ...message, id: 'n', parent: 'm' } }),
      /own ancestor/,
    ],
    ['a message without a text', one({ m: { ...message, content: 1 } }), /content as a text/],
    ['deep nesting', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, /nested 100000 deep/],
  ])('%s', (_, text, got) => {
    expect(() => fromJson(text, 'file.json')).toThrow(got);
    expect(() => fromJson(text, 'file.json')).toThrow(/^file\.json cannot be imported: got .*, wanted .*\. .*\.$/s);
    expect(({} as Record<string, unknown>).role).toBeUndefined();
  });

  test('keys of prototypes in arguments change nothing', () => {
    const steps =
      '[{"text":"","calls":[{"name":"x","title":"x","summary":"","brief":"","state":"done","arguments":{"__proto__":{"polluted":1}}}]}]';
    const [read] = fromJson(
      `{"format":"rivulet-conversations","version":1,"conversations":[{"id":"c","messages":{"m":{"id":"m","parent":null,"role":"assistant","content":"x","steps":${steps}}}}]}`,
      'x.json',
    );
    expect(branch(read)).toHaveLength(1);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test('a file that is too large, and Markdown that is not ours', async () => {
    const large = {
      name: 'large.json',
      size: MOST_BYTES + 1,
      text: () => Promise.reject(new Error('must not be read')),
    } as unknown as File;
    await expect(readConversations(large)).rejects.toThrow(/got 51 MB, wanted at most 50 MB/);
    await expect(readConversations(new File(['# Notes'], 'notes.md'))).rejects.toThrow(/got a first line "# Notes"/);
    expect(await readConversations(new File([toMarkdown(sample())], 'anything.txt'))).toHaveLength(1);
  });

  test('brackets in strings do not count as depth', () => {
    expect(depthOf('{"a":"[[[[\\"[[","b":[1]}')).toBe(2);
    const started = performance.now();
    depthOf(`["${'\\\\'.repeat(1e6)}`);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

test('file names', () => {
  expect(fileName('Packing list: Lisbon / Porto?', 'md')).toBe('Packing list Lisbon Porto.md');
  expect(fileName('../../etc/passwd', 'md')).toBe('etc passwd.md');
  expect(fileName('???', 'json')).toBe('Conversation.json');
});
