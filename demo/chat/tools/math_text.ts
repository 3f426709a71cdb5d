/** Arithmetic in words, as signs: 'twelve times 4' is '12*4'. Words that are no arithmetic stay. */
import { findNumbers, plain } from './numbers';

const SIGNS: [RegExp, string][] = [
  [/(?<!\p{L})(?:the\s+)?(?:square\s*root|wurzel)(?:\s+(?:of|aus|von))?(?!\p{L})/gu, ' sqrt '],
  [/√/gu, ' sqrt '],
  [/(?<!\p{L})(?:multiplied\s+by|times|mal)(?!\p{L})|[×·⋅]/gu, '*'],
  [/(?<=[\d)]\s*)x(?=\s*[\d(.])/gu, '*'],
  [/(?<!\p{L})(?:divided\s+by|over|geteilt\s+durch|durch)(?!\p{L})|[÷]|(?<=\d\s+):(?=\s+\d)/gu, '/'],
  [/(?<!\p{L})(?:plus|und\s+dazu)(?!\p{L})/gu, '+'],
  [/(?<!\p{L})(?:minus|less|weniger)(?!\p{L})/gu, '-'],
  [/\*\*|(?<!\p{L})(?:to\s+the\s+power\s+of|hoch)(?!\p{L})/gu, '^'],
  [/(?<!\p{L})squared(?!\p{L})|²/gu, '^2'],
  [/(?<!\p{L})cubed(?!\p{L})|³/gu, '^3'],
  [/\s*(?<!\p{L})(?:per\s*cent|prozent)(?!\p{L})/gu, '%'],
  [/(?<=%\s*)(?:of|von)(?!\p{L})/gu, ' of '],
  [/π/gu, ' pi '],
];

export function mathText(given: string): string {
  let text = plain(given);
  // from behind, so that positions in front stay right; digits that can be read in two ways stay as they are
  for (const { start, end } of findNumbers(text).toReversed()) {
    const word = text.slice(start, end).replace(/^(?:minus|negative|-)\s*/, '');
    const from = end - word.length;
    const value = /^[\d.,' ]+$/.test(word) ? groupless(word) : findNumbers(word)[0]?.values[0];
    if (value !== undefined) text = `${text.slice(0, from)}${value}${text.slice(end)}`;
  }
  return SIGNS.reduce((left, [pattern, sign]) => left.replace(pattern, sign), text);
}

/** '1,000' is a thousand here, as in English and on keypads; '2,5' is two and a half. */
function groupless(digits: string): string {
  const text = digits.replace(/[' ]/g, '');
  if (/^\d{1,3}(,\d{3})+(\.\d+)?$/.test(text)) return text.replaceAll(',', '');
  if (/^\d{1,3}(\.\d{3}){2,}(,\d+)?$/.test(text) || /^\d{1,3}(\.\d{3})+,\d+$/.test(text))
    return text.replaceAll('.', '').replace(',', '.');
  return text.replace(',', '.');
}
