/** Presets of the system prompt: those of the page, and the user's own. */
import { isObject, isText, keep, kept } from '../history';

export interface Preset {
  name: string;
  text: string;
}

export const BUILT_IN: readonly Preset[] = [
  {
    name: 'Concise',
    text: 'Answer in as few words as possible. Leave out introductions, repetitions and closing remarks.',
  },
  {
    name: 'Friendly',
    text: 'Be warm and encouraging. Use everyday words, and speak to the reader as you would to a friend.',
  },
  {
    name: 'Explain simply',
    text: 'Explain as you would to a curious twelve-year-old. Use short sentences, no technical terms, and one example from daily life.',
  },
  {
    name: 'Editor',
    text: 'Correct the spelling, grammar and style of each text. Reply with the corrected text, then list the most important changes. Keep the meaning and the language.',
  },
  {
    name: 'Translator',
    text: 'Translate each text into English. If it is in English, translate it into German. Reply with the translation alone.',
  },
];

const MOST = 50;
export const LONGEST_NAME = 60;
const LONGEST_TEXT = 20_000;

/** Anything may stand in storage: what is not valid is left out. */
export function readPresets(stored: unknown): Preset[] {
  if (!Array.isArray(stored)) return [];
  const presets: Preset[] = [];
  for (const each of stored.slice(0, MOST)) {
    const { name, text } = isObject(each) ? each : {};
    if (!isText(name) || !isText(text) || text.trim() === '' || text.length > LONGEST_TEXT) continue;
    if (name === plainName(name) && name && !named(BUILT_IN, name) && !named(presets, name))
      presets.push({ name, text });
  }
  return presets;
}

/** One line without control characters and those that reverse the text after them. */
export const plainName = (name: string): string =>
  name
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
    .slice(0, LONGEST_NAME)
    .trim();

const named = (presets: readonly Preset[], name: string): Preset | undefined =>
  presets.find((preset) => preset.name.toLowerCase() === name.toLowerCase());

export const ownPresets = (): Preset[] => readPresets(kept('presets'));

/** @returns false where the browser stores nothing */
const store = (presets: readonly Preset[]): boolean => keep('presets', presets.length ? presets : undefined);

/** Why this name or text cannot be taken for a preset. @param but the preset that gets another name */
export function problemOf({ name, text }: Preset, but?: string): string | undefined {
  const own = ownPresets();
  if (!name) return 'Enter a name.';
  if (named(BUILT_IN, name)) return `“${name}” is a preset of the page. Choose another name.`;
  if (name.toLowerCase() !== but?.toLowerCase() && named(own, name))
    return `You have a preset “${name}” already. Choose another name.`;
  if (text.trim() === '') return 'The system prompt is empty. Write it first.';
  if (text.length > LONGEST_TEXT)
    return `The system prompt has ${text.length} characters. A preset can have ${LONGEST_TEXT}.`;
  return but === undefined && own.length >= MOST
    ? `You have ${MOST} presets, which is the most. Delete one first.`
    : undefined;
}

// Each change reads what is stored now: another tab may have changed it.

export const addPreset = (preset: Preset): boolean => store([...ownPresets(), preset]);
export const removePreset = (name: string): boolean => store(ownPresets().filter((preset) => preset.name !== name));
export const renamePreset = (name: string, to: string): boolean =>
  store(ownPresets().map((preset) => (preset.name === name ? { ...preset, name: to } : preset)));
