import { describe, expect, test } from 'vitest';
import { mathAt } from './math';

/** The formulas of a text, read as the lexer does: from each mark on, with the character before it. */
function formulas(text: string): string[] {
  const found: string[] = [];
  for (let at = 0; at < text.length;) {
    const math = /[$\\]/.test(text[at]) ? mathAt(text.slice(at), text[at - 1]) : undefined;
    if (math) found.push(math.display ? `[${math.tex}]` : math.tex);
    at += math?.raw.length ?? (text[at] === '\\' ? 2 : 1);
  }
  return found;
}

describe('formulas', () => {
  test.each([
    ['It is $E = mc^2$.', ['E = mc^2']],
    ['$x$ and $y_1$', ['x', 'y_1']],
    ['$$\\int_0^1 x\\,dx$$', ['[\\int_0^1 x\\,dx]']],
    ['$$\na\n\nb\n$$', ['[a\n\nb]']],
    ['\\(a+b\\) and \\[c\\]', ['a+b', '[c]']],
    ['$2x + 3$, $5^2$, $3/4$ and $7 \\cdot 6$', ['2x + 3', '5^2', '3/4', '7 \\cdot 6']],
    ['($n$)', ['n']],
    ['$\\$5$', ['\\$5']],
  ])('%s', (text, expected) => expect(formulas(text)).toEqual(expected));

  test.each([
    '$5 and $10',
    'It costs $5, or $7.50 with tax.',
    '$5/month or $10/month',
    'between $5M-$10M',
    'US$5 or A$6$',
    '$1,200 (about A$)',
    '$5 dollars is 5$',
    'echo $HOME/$USER',
    '$PATH and $HOME',
    'a \\$x\\$ b',
    '$ x $',
    '$x',
    '$$',
    '$$$$',
    '\\( \\)',
    '\\(never closed',
  ])('no formula: %s', (text) => expect(formulas(text)).toEqual([]));

  test('what is very long is no formula, and takes no time', () => {
    const start = performance.now();
    expect(formulas(`$${'x'.repeat(5000)}$`)).toEqual([]);
    expect(formulas('\\('.repeat(4000))).toEqual([]);
    expect(formulas('$a '.repeat(4000))).toEqual([]);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});
