import { describe, expect, test } from 'vitest';
import type { KeptCall } from '../history';
import {
  branch,
  childrenOf,
  conversationIn,
  endBelow,
  fromTurns,
  isAncestor,
  merge,
  newConversation,
  newId,
  parentCycles,
  plainTitle,
  shortened,
  titleOf,
  versions,
  type ChatMessage,
  type Conversation,
} from './conversation';

const call: KeptCall = {
  name: 'set_timer',
  title: 'Timer',
  arguments: { minutes: 10 },
  state: 'done',
  summary: 'It runs.',
  value: {},
  brief: 'ok',
  repairs: [],
  ms: 1,
};

/** 'q1', 'q1 a1', 'q1 a2 q3': each message hangs on the one before it. */
function conversation(...lines: string[]): Conversation {
  const made = { ...newConversation(0), id: 'c' };
  let created = 1;
  for (const line of lines) {
    let parent: string | null = null;
    for (const id of line.split(' ')) {
      made.messages[id] ??= {
        id,
        parent,
        role: id.startsWith('q') ? 'user' : 'assistant',
        content: `text of ${id}`,
        created: created++,
        revision: 0,
        ...(id.startsWith('a') && { finish: 'stop' as const }),
      };
      parent = id;
    }
    made.leaf = parent;
  }
  return made;
}
const shown = (given: Conversation): string =>
  branch(given)
    .map(({ id }) => id)
    .join(' ');
const copy = (given: Conversation): Conversation => structuredClone(given);

describe('the tree', () => {
  const tree = conversation('q1 a1 q2 a2', 'q1 a1 q3 a3', 'q1 a4');

  test('the branch that is shown, the versions of a message, and the end below one', () => {
    expect(shown(tree)).toBe('q1 a4');
    const children = childrenOf(tree);
    expect(versions(children, tree.messages.a1).map(({ id }) => id)).toEqual(['a1', 'a4']);
    expect(versions(children, tree.messages.q3).map(({ id }) => id)).toEqual(['q2', 'q3']);
    expect(endBelow(tree, 'a1')).toBe('a3');
    expect(endBelow(tree, 'q2')).toBe('a2');
    expect(isAncestor(tree, 'a1', 'a3')).toBe(true);
    expect(isAncestor(tree, 'a4', 'a3')).toBe(false);
    expect(isAncestor(tree, null, 'a3')).toBe(true);
  });

  test('what is deleted is neither shown nor a version, and what hangs on it stays', () => {
    const given = copy(tree);
    given.messages.a1.deleted = true;
    given.leaf = 'a3';
    expect(shown(given)).toBe('q1 q3 a3');
    expect(versions(childrenOf(given), given.messages.a4).map(({ id }) => id)).toEqual(['a4']);
    expect(endBelow(given, 'q1')).toBe('a4');
  });
});

describe('merging', () => {
  test('is a union: two tabs that both went on lose nothing, and each stays on its own branch or the later one', () => {
    const start = conversation('q1 a1');
    const [mine, other] = [copy(start), copy(start)];
    Object.assign(mine, { ...conversation('q1 a1 q2 a2'), chosen: 5 });
    Object.assign(other, { ...conversation('q1 a1 q3'), chosen: 9 });
    for (const union of [merge(mine, other), merge(other, mine)]) {
      expect(Object.keys(union.messages).sort()).toEqual(['a1', 'a2', 'q1', 'q2', 'q3']);
      expect(union.leaf).toBe('q3');
    }
  });

  test('the newer copy of a message is taken, whichever side it is on; equal ones keep my object', () => {
    const mine = conversation('q1 a1');
    const other = copy(mine);
    expect(merge(mine, other).messages.a1).toBe(mine.messages.a1);
    Object.assign(other.messages.a1, { content: 'longer than before', revision: 1 });
    expect(merge(mine, other).messages.a1.content).toBe('longer than before');
    expect(merge(other, mine).messages.a1.content).toBe('longer than before');
    mine.messages.a1.revision = 1;
    delete mine.messages.a1.finish;
    expect(merge(mine, other).messages.a1.finish).toBe('stop');
    expect(merge(other, mine).messages.a1.finish).toBe('stop');
  });

  test('both sides agree on copies that were changed at the same time', () => {
    const [mine, other] = [conversation('q1 a1'), conversation('q1 a1')];
    mine.messages.a1.content = 'text x';
    other.messages.a1.content = 'text y';
    expect(merge(mine, other).messages.a1.content).toBe(merge(other, mine).messages.a1.content);
  });

  test('card states of both sides are kept', () => {
    const mine = conversation('q1 a1');
    mine.messages.a1.steps = [{ text: '', calls: [{ ...call }, { ...call }] }];
    const other = copy(mine);
    mine.messages.a1.steps[0].calls[0].undone = true;
    other.messages.a1.steps![0].calls[1].ended = 'rang';
    for (const union of [merge(mine, other), merge(other, mine)])
      expect(union.messages.a1.steps?.[0].calls).toMatchObject([{ undone: true }, { ended: 'rang' }]);
  });

  test('the later name wins, a deletion stays', () => {
    const [mine, other] = [conversation('q1'), conversation('q1')];
    Object.assign(mine, { title: 'Mine', named: 5 });
    Object.assign(other, { title: 'Other', named: 7, deleted: 9 });
    expect(merge(mine, other)).toMatchObject({ title: 'Other', named: 7, deleted: 9 });
    expect(merge({ ...other, deleted: undefined } as Conversation, mine).title).toBe('Other');
  });

  test('100 random histories of two tabs end in the same union', () => {
    let seed = 1;
    const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
    for (let round = 0; round < 100; round++) {
      const tabs = [conversation('q0'), conversation('q0')];
      const added = new Set(['q0']);
      let clock = 100;
      for (let action = 0; action < 20; action++) {
        const tab = tabs[random(2)];
        const ids = Object.keys(tab.messages);
        const at = tab.messages[ids[random(ids.length)]];
        if (random(3)) {
          const id = newId();
          added.add(id);
          tab.messages[id] = {
            id,
            parent: at.id,
            role: at.role === 'user' ? 'assistant' : 'user',
            content: id,
            created: clock++,
            revision: 0,
          };
          Object.assign(tab, { leaf: id, chosen: clock });
        } else if (random(2)) Object.assign(at, { content: `${at.content}+`, revision: at.revision + 1 });
        else tabs[random(2)] = merge(tabs[0], copy(tabs[1]));
      }
      const [left, right] = [merge(copy(tabs[0]), copy(tabs[1])), merge(copy(tabs[1]), copy(tabs[0]))];
      expect(new Set(Object.keys(left.messages))).toEqual(added);
      expect(left.messages).toEqual(right.messages);
    }
  });
});

describe('what is read from storage', () => {
  test('comes back whole', () => {
    const given = conversation('q1 a1 q2', 'q1 a2');
    Object.assign(given, { title: 'A name', named: 3 });
    given.messages.a1.steps = [{ text: 'x', calls: [call] }];
    given.messages.q1.files = [{ name: 'a.txt', text: 'words' }];
    expect(conversationIn(JSON.parse(JSON.stringify(given)))).toEqual(given);
  });

  test('what is damaged is left out; a message whose parent is lost begins the conversation', () => {
    for (const damaged of [
      null,
      7,
      [],
      {},
      { id: '../x', messages: {} },
      { id: 'c', messages: [] },
      { id: '__proto__', messages: {} },
    ])
      expect(conversationIn(damaged)).toBeUndefined();
    const good: ChatMessage = { id: 'm', parent: 'lost', role: 'user', content: 'x', created: 1, revision: 0 };
    const read = conversationIn({
      id: 'c',
      leaf: 'lost',
      messages: {
        m: good,
        n: { ...good, id: 'n', role: 'system' },
        o: { ...good, id: 'constructor' },
        p: null,
        q: { ...good, id: 'q', created: 'x', revision: -1, finish: 'hacked', model: 3, deleted: 'yes' },
      },
    });
    expect(read?.messages).toEqual({ m: { ...good, parent: null }, q: { ...good, id: 'q', parent: null, created: 0 } });
    expect(['m', 'q']).toContain(read?.leaf);
    expect(({} as Record<string, unknown>).role).toBeUndefined();
  });

  test('parents in a circle are opened', () => {
    const circle = conversation('q1 a1 q2');
    circle.messages.q1.parent = 'q2';
    expect(parentCycles(circle.messages)).toHaveLength(1);
    const read = conversationIn(circle);
    expect(read && branch(read)).toHaveLength(3);
    expect(parentCycles({ a: { parent: 'a' }, b: { parent: null }, c: { parent: 'b' } })).toEqual(['a']);
  });

  test('the one conversation of the former version, always with the same ids', () => {
    const made = fromTurns(
      [
        { role: 'user', content: 'Hello there' },
        { role: 'assistant', content: 'Hi.', note: 'x' },
      ],
      50,
    );
    expect(made).toMatchObject({ id: 'first', title: 'Hello there', leaf: 'first-1' });
    expect(branch(made)).toMatchObject([{ content: 'Hello there' }, { content: 'Hi.', note: 'x', finish: 'stop' }]);
    expect(conversationIn(made)).toEqual(made);
  });
});

test('titles: the first words of the first message, unless it has a name; on one line, without what turns text around', () => {
  const given = conversation('q1 a1');
  given.messages.q1.content =
    '  Pack a suitcase\nfor Lisbon, with \u202eeverything that is needed for a week in November  ';
  expect(titleOf(given)).toBe('Pack a suitcase for Lisbon, with everything that is needed…');
  given.messages.q1 = { ...given.messages.q1, content: '', files: [{ name: 'list.txt', text: 'x' }] };
  expect(titleOf(given)).toBe('list.txt');
  expect(titleOf({ ...given, title: 'Mine', named: 1 })).toBe('Mine');
  expect(plainTitle('a\u0000b\u200ec')).toBe('a b c');
  expect(shortened('x'.repeat(100), 60)).toBe(`${'x'.repeat(60)}…`);
  expect(plainTitle('y'.repeat(1e6)).length).toBeLessThan(210);
});
