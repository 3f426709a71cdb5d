/** Finds phone numbers: there is no check digit, so their form and the words before them decide. */

const RUN = /(?<![\p{L}\d_.,:/#$€£=-])(?:\+ ?)?\(?\d[\d ()./-]{4,40}\d(?![\p{L}\d_%€$£]|[.,:]\d)/gu;
const CONTEXT =
  /(?:\b(?:phone|telephone|tel|mobile|cell|call|fax|whatsapp|signal|sms|dial|ring|text|handy|telefon|mobil|numéro|teléfono|reach (?:me|him|her|us|them)|number is|contact)\b|телефон|电话|電話|☎|📞)[^\d\n]{0,24}$/iu;
const DATE = /(?<!\d)(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2}))(?!\d)/;

/** of digits in a phone number */
const MOST_GROUPS = 7;

export function* findPhones(text: string): Generator<{ start: number; end: number }> {
  for (const { 0: run, index } of text.matchAll(RUN)) {
    const groups = [...run.matchAll(/\+? ?\(?\d+\)?/g)];
    // a date or another number may stand beside it: the longest part that is a phone number counts
    for (let first = 0; first < groups.length; first++) {
      for (let last = Math.min(groups.length, first + MOST_GROUPS) - 1; last >= first; last--) {
        const end = groups[last].index + groups[last][0].length;
        const start = groups[first].index + groups[first][0].search(/\S/);
        if (!isPhone(run.slice(start, end), text.slice(Math.max(0, index + start - 48), index + start))) continue;
        yield { start: index + start, end: index + end };
        first = last;
        break;
      }
    }
  }
}

/** @param before the characters before it */
function isPhone(found: string, before: string): boolean {
  const digits = found.replace(/\D/g, '');
  const n = digits.length;
  if (n < 7 || n > 15 || DATE.test(found) || /[ ./-]{3,}|\.\.|--/.test(found)) return false;
  if (found.startsWith('+')) return n >= 8 && digits[0] !== '0';
  if (/^00[1-9]/.test(digits) && /^00[ \d]/.test(found)) return n >= 10 && /[ ()/-]/.test(found);
  if (/^\(?[2-9]\d\d\)?[ .-]{0,2}[2-9]\d\d[ .-]\d{4}$/.test(found)) return true;
  if (/^1[ .-]\(?[2-9]\d\d\)?[ .-]{0,2}[2-9]\d\d[ .-]\d{4}$/.test(found)) return true;
  if (CONTEXT.test(before)) return n >= 7;
  return /^\(?0[1-9]/.test(found) && n >= 9 && n <= 12 && /^\(?0\d{1,4}\)?[ /-]/.test(found);
}
