/** The tools that change what the page shows, plays or says. */
import { shown } from './check_call';
import { define, ToolError, UnknownNameError, type PageTool } from './tool';

const folded = (name: string): string =>
  name
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

/** The name among these that is meant: the same words, or the only one that holds them. */
export function named(names: readonly string[], given: string): string | undefined {
  const wanted = folded(given)
    .replace(/^the /, '')
    .replace(/ (?:section|page|part|theme|mode|colou?rs)$/, '');
  if (wanted === '') return undefined;
  const exact = names.find((name) => folded(name) === wanted || folded(name) === folded(given));
  if (exact !== undefined) return exact;
  const holding = names.filter((name) => ` ${folded(name)} `.includes(` ${wanted} `));
  return holding.length === 1 ? holding[0] : undefined;
}

const listed = (names: readonly string[]): string => (names.length ? names.join(', ') : 'none');

/** The key of a table that holds the name among its words. */
const keyOf = (table: Record<string, readonly string[]>, given: string): string | undefined =>
  Object.keys(table).find((key) => table[key].includes(given));

/** other words for the page's themes */
const THEMES: Record<string, readonly string[]> = {
  dark: [
    'night',
    'black',
    'dunkel',
    'dunkle',
    'dunkles',
    'dunklen',
    'dunkler',
    'dunkelmodus',
    'nacht',
    'nachtmodus',
    'schwarz',
  ],
  light: [
    'day',
    'white',
    'bright',
    'hell',
    'helle',
    'helles',
    'hellen',
    'heller',
    'hellmodus',
    'tag',
    'tagmodus',
    'weiß',
  ],
  system: ['auto', 'automatic', 'default', 'automatisch'],
};

export const setTheme: PageTool = {
  definition: define('set_theme', 'Change the colours of the page', {
    theme: { type: 'string', description: 'Name of the theme' },
  }),
  title: 'Colours',
  icon: 'theme',
  changes: 'page',
  run({ theme }, host) {
    const before = host.theme();
    const given = String(theme);
    const other = keyOf(THEMES, folded(given).replace(/ (?:theme|mode|colou?rs|modus|design)$/, ''));
    const found = named(host.themes(), given) ?? (other === undefined ? undefined : named(host.themes(), other));
    if (found === undefined)
      throw new UnknownNameError(`There is no theme ${shown(given)}. The themes are: ${listed(host.themes())}.`);
    host.setTheme(found);
    return {
      value: { theme: found, before },
      brief: 'ok',
      summary: found === 'system' ? 'The page follows the system’s colours.' : `The page is now ${found}.`,
    };
  },
};

function percentWithin(given: unknown, least: number, most: number, what: string): number {
  const percent = Number(given);
  if (!(percent >= least && percent <= most))
    throw new ToolError(`The ${what} is to be ${percent} percent. It can be ${least} to ${most} percent.`);
  return percent;
}

export const setVolume: PageTool = {
  definition: define('set_volume', 'Set the volume', {
    percent: { type: 'integer', description: 'Volume from 0 to 100' },
  }),
  title: 'Volume',
  icon: 'volume',
  changes: 'page',
  run({ percent: given }, host) {
    const percent = percentWithin(given, 0, 100, 'volume');
    const before = host.volume();
    host.setVolume(percent);
    return {
      value: { percent, before },
      brief: 'ok',
      summary: percent === 0 ? 'The sounds of this page are off.' : `The volume of this page is ${percent} percent.`,
    };
  },
};

export const zoom: PageTool = {
  definition: define('zoom', 'Zoom the page', { percent: { type: 'integer', description: 'Zoom in percent' } }),
  title: 'Text size',
  icon: 'zoom',
  changes: 'page',
  run({ percent: given }, host) {
    const percent = percentWithin(given, 50, 200, 'text size');
    const before = host.zoom();
    host.setZoom(percent);
    return { value: { percent, before }, brief: 'ok', summary: `The text size is ${percent} percent.` };
  },
};

export const searchPage: PageTool = {
  definition: define('search_page', 'Find text in this page', {
    query: { type: 'string', description: 'Words to find' },
  }),
  title: 'Search this page',
  icon: 'search',
  changes: 'none',
  async run({ query }, host) {
    const words = String(query).trim();
    if (words.length > 200)
      throw new ToolError(`The words to find have ${words.length} characters. At most 200 are possible.`);
    const matches = await host.findText(words);
    const places = matches === 0 ? 'nowhere' : matches === 1 ? 'in one place' : `in ${matches} places`;
    return {
      value: { query: words, matches },
      brief: String(matches),
      summary: `“${words}” is ${places} on this page.`,
    };
  },
};

/** other words for the sections of the page, English and German */
const SECTIONS: Record<string, readonly string[]> = {
  settings: ['preferences', 'options', 'configuration', 'einstellungen', 'optionen'],
  models: ['model list', 'list of models', 'model picker', 'modelle', 'modellliste'],
  notes: ['note list', 'notebook', 'notizen', 'notizbuch'],
  tasks: [
    'to dos',
    'todos',
    'to do list',
    'todo list',
    'task list',
    'list of tasks',
    'aufgaben',
    'aufgabenliste',
    'to do liste',
    'todo liste',
  ],
  timers: ['alarms', 'timer list', 'wecker', 'timern'],
  conversation: ['chat', 'unterhaltung', 'gespräch'],
  message: ['input', 'message field', 'eingabe'],
};

export const navigate: PageTool = {
  definition: define('navigate', 'Go to a section of the site', {
    section: { type: 'string', description: 'Name of the section' },
  }),
  title: 'Open a section',
  icon: 'section',
  changes: 'page',
  async run({ section }, host) {
    const given = String(section);
    const other = keyOf(SECTIONS, folded(given).replace(/^(?:the|my|die|meine|den|das) /, ''));
    const found = named(host.sections(), given) ?? (other === undefined ? undefined : named(host.sections(), other));
    if (found === undefined)
      throw new UnknownNameError(`There is no section ${shown(given)}. The sections are: ${listed(host.sections())}.`);
    await host.openSection(found);
    return { value: { section: found }, brief: 'ok', summary: `Here is: ${found}.` };
  },
};

export const LONGEST_SPEECH = 5000;

export const readAloud: PageTool = {
  definition: define('read_aloud', 'Read a part of the page aloud', {
    section: { type: 'string', description: 'Which part' },
  }),
  title: 'Read aloud',
  icon: 'speech',
  changes: 'page',
  async run({ section }, host) {
    const given = String(section);
    const found =
      /^(?:(?:the|your|my|die|deine) )?(?:(?:last|latest|previous|letzte|vorherige) )?(?:answer|reply|response|message|antwort|nachricht)$/.test(
        folded(given),
      )
        ? 'last answer'
        : named(host.readable(), given);
    const text = found === undefined ? undefined : host.textOf(found)?.trim();
    if (found === undefined || text === undefined)
      throw new UnknownNameError(
        `There is no part ${shown(given)} to read. The parts are: ${listed(host.readable())}.`,
      );
    if (text === '') throw new ToolError(`There is no text to read in: ${found}.`);
    if ((await host.speak(text.slice(0, LONGEST_SPEECH))) === 'no voice')
      throw new ToolError('No voice is installed on this device, so nothing can be read aloud.');
    return { value: { section: found, speaking: true }, brief: 'ok', summary: `Reading aloud: ${found}.` };
  },
};
