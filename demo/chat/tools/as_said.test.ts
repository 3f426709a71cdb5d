import { expect, test } from 'vitest';
import { asSaid } from './as_said';
import { PAGE_TOOLS } from './index';

const ALL = PAGE_TOOLS.map(({ definition }) => definition.name);
const put = (
  message: string,
  name: string,
  given: Record<string, unknown>,
  offered: readonly string[] = ALL,
): string => {
  const { call } = asSaid({ name, arguments: given }, message, offered);
  return `${call.name} ${JSON.stringify(call.arguments)}`;
};

test.each([
  // a letter too many, one too few, two words run together
  [
    'Add call the dentist to my to-do list',
    'add_todo',
    { task: 'call the dentistt' },
    'add_todo {"task":"call the dentist"}',
  ],
  ['Find price lists on this page', 'search_page', { query: 'pricelists' }, 'search_page {"query":"pricelists"}'],
  ['What time is it in São Paulo?', 'get_time', { city: 'São Paolo' }, 'get_time {"city":"São Paulo"}'],
  ['Suche nach Öffnungszeiten', 'search_page', { query: 'Öffnungszeitn' }, 'search_page {"query":"Öffnungszeiten"}'],
  // the capitals of the message
  ['Search for Hugging Face here', 'search_page', { query: 'hugging face' }, 'search_page {"query":"Hugging Face"}'],
  // a city of two words, and an expression without its first parenthesis
  ['Tell me the time in São Paulo', 'get_time', { city: 'Sáo' }, 'get_time {"city":"São Paulo"}'],
  ['What time is it in Tokyo?', 'get_time', { city: 'Tokyo' }, 'get_time {"city":"Tokyo"}'],
  ['Calculate (12 + 8) / 5', 'calculate', { expression: '12 + 8) / 5' }, 'calculate {"expression":"(12 + 8) / 5"}'],
  ['Calculate (12 + 8) / 5', 'calculate', { expression: '12 + 8' }, 'calculate {"expression":"12 + 8"}'],
  // all of a quotation
  [
    'Take a note: "the red bin goes out on Monday"',
    'add_note',
    { text: 'the red bin' },
    'add_note {"text":"the red bin goes out on Monday"}',
  ],
  [
    'Setz „die Blumen gießen“ auf meine Liste',
    'add_todo',
    { task: 'Blumen gießen' },
    'add_todo {"task":"die Blumen gießen"}',
  ],
  ["Put 'it's late' in my notes", 'add_note', { text: 'late' }, 'add_note {"text":"late"}'],
  // all that stands behind 'Note:'
  [
    'Note: buy milk, bread and stamps.',
    'add_note',
    { text: 'buy milk' },
    'add_note {"text":"buy milk, bread and stamps"}',
  ],
  // the word of the message decides between the lists
  ['Note: buy milk', 'add_todo', { task: 'buy milk' }, 'add_note {"text":"buy milk"}'],
  ['Notiz: Milch kaufen', 'add_todo', { task: 'Milch kaufen' }, 'add_note {"text":"Milch kaufen"}'],
  ['Put buy milk on my to-do list', 'add_note', { text: 'buy milk' }, 'add_todo {"task":"buy milk"}'],
  [
    'Remind me to write a note to Anna for my task list',
    'add_todo',
    { task: 'write a note to Anna' },
    'add_todo {"task":"write a note to Anna"}',
  ],
  // the only time and the only length of time
  ['Wake me at 6:50', 'set_alarm', { time: '06:05' }, 'set_alarm {"time":"06:50"}'],
  ['Wake me at 6:50 or 7:10', 'set_alarm', { time: '06:05' }, 'set_alarm {"time":"06:05"}'],
  ['Book a table for 4 at 7 pm', 'set_alarm', { time: '04:00' }, 'set_alarm {"time":"04:00"}'],
  ['a timer for an hour and a half', 'set_timer', { minutes: 60 }, 'set_timer {"minutes":90}'],
  ['Volume to 35 %', 'set_volume', { percent: 53 }, 'set_volume {"percent":35}'],
  ['Wake me at 7:30 tomorrow', 'set_volume', { percent: 7 }, 'set_volume {"percent":7}'],
  // what is like nothing in the message stays, and is refused later
  ['Nice to meet you', 'navigate', { section: 'settings' }, 'navigate {"section":"settings"}'],
  ['Read the first or the third part', 'read_aloud', { section: 'thirst' }, 'read_aloud {"section":"thirst"}'],
] as const)('%s: %s %o', (message, name, given, wanted) => {
  expect(put(message, name, given)).toBe(wanted);
});

test('a list that is switched off is not put in', () => {
  expect(put('Note: buy milk', 'add_todo', { task: 'buy milk' }, ['add_todo'])).toBe('add_todo {"task":"buy milk"}');
});

test('each value that was put in is told', () => {
  expect(asSaid({ name: 'add_todo', arguments: { task: 'buy milkk' } }, 'Note: buy milk', ALL).repairs).toEqual([
    'The message speaks of a note: add_todo is add_note.',
    'text: "buy milkk" is "buy milk" in your message.',
  ]);
  expect(asSaid({ name: 'set_timer', arguments: { minutes: 10 } }, 'a timer for 10 minutes', ALL).repairs).toEqual([]);
});

test('a very long message costs no time', () => {
  const started = performance.now();
  asSaid({ name: 'add_note', arguments: { text: 'a'.repeat(500) } }, 'a b '.repeat(5000), ALL);
  asSaid({ name: 'add_note', arguments: { text: 'ab '.repeat(180) } }, 'a b '.repeat(149), ALL);
  expect(performance.now() - started).toBeLessThan(1000);
});
