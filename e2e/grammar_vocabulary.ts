/** A vocabulary of the size and kind of LFM2's: bytes, words, numbers, punctuation, spaces and parts of characters. */
import { seededRandom } from './schema_cases';

const SYLLABLES =
  'a e i o u an en in on er al at et it or re de le ti te la ra ma na si to ro mi li ca pe st tr ing tion ment ed ly con com pro pre un dis sub ex able ness ful ist ity ous ive est ter der man land ber ger'.split(
    ' ',
  );
const MARKS = [
  '"',
  '":',
  '": ',
  '":"',
  '": "',
  '",',
  '", ',
  '","',
  '","',
  '"}',
  '"},',
  '"]',
  '"],',
  '{"',
  '[{"',
  '["',
  '}',
  '},',
  '},{"',
  '}]',
  ']',
  '],',
  '[]',
  '{}',
  '()',
  '(',
  ')',
  '),',
  ');',
  '=',
  '==',
  '="',
  "='",
  "'",
  "',",
  "')",
  '.',
  '..',
  '...',
  ',',
  ', "',
  ':',
  '::',
  ';',
  '/',
  '//',
  '-',
  '--',
  '_',
  '\\',
  '\\n',
  '\\"',
  '\\u',
  '#',
  '##',
  '*',
  '**',
  '<',
  '</',
  '>',
  '/>',
  '%',
  '&',
  '&&',
  '|',
  '||',
  '+',
  '++',
  '!',
  '!=',
  '?',
  '@',
  '$',
  '^',
  '~',
  '`',
  '```',
];

/** @returns [size]; the last id ends a text, the 16 before it are special */
export function largeVocabulary(size = 65_536): (Uint8Array | undefined)[] {
  const random = seededRandom(7);
  const encoder = new TextEncoder();
  const tokens: (Uint8Array | undefined)[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  const seen = new Set<string>();
  const add = (text: string): void => {
    if (tokens.length >= size - 17 || text.length < 2 || seen.has(text)) return;
    seen.add(text);
    tokens.push(encoder.encode(text));
  };
  for (let n = 10; n < 1000; n++) add(String(n));
  for (let n = 0; n < 100; n++) add(String(n).padStart(2, '0'));
  for (const mark of MARKS)
    for (const more of ['', '\n', ' ', '\n\n', '"', "'"]) for (const one of [mark + more, ` ${mark}${more}`]) add(one);
  for (let n = 2; n <= 80; n++)
    for (const one of [' '.repeat(n), `\n${' '.repeat(n - 1)}`, '\t'.repeat(n), '\n'.repeat(n)]) add(one);
  for (let point = 0x4e00; point < 0x4e00 + 4000; point++) add(String.fromCodePoint(point));
  for (let point = 0xc0; point < 0x600; point++)
    for (const one of [String.fromCodePoint(point), ` ${String.fromCodePoint(point)}`]) add(one);
  for (let point = 0x1f300; point < 0x1f600; point++) add(String.fromCodePoint(point));
  for (let lead = 0xe3; lead < 0xf0; lead++)
    for (let next = 0x80; next < 0xc0; next++) tokens.push(Uint8Array.of(lead, next));
  while (tokens.length < size - 17) {
    const word = Array.from(
      { length: 1 + Math.floor(random() * 3.5) },
      () => SYLLABLES[Math.floor(random() * SYLLABLES.length)],
    ).join('');
    const own = random() < 0.2 ? word[0].toUpperCase() + word.slice(1) : random() < 0.05 ? word.toUpperCase() : word;
    add(random() < 0.6 ? ` ${own}` : random() < 0.03 ? `_${own}` : own);
  }
  while (tokens.length < size) tokens.push(undefined);
  return tokens;
}

/** The tokens as byte-level BPE writes them: a letter for each byte. */
export function writtenTokens(vocabulary: readonly (Uint8Array | undefined)[]): string[] {
  const plain = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  const letters = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(plain(byte) ? byte : next++));
  return vocabulary.map((bytes, id) => (bytes ? Array.from(bytes, (byte) => letters[byte]).join('') : `<|${id}|>`));
}
