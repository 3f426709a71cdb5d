import { expect, it } from 'vitest';
import { createStopFilter } from './stop_strings';

function run(stops: string[], pieces: string[]): { shown: string[]; stopped: string | undefined } {
  const filter = createStopFilter(stops);
  const shown = pieces.map((piece) => filter.push(piece));
  return { shown: [...shown, filter.flush()], stopped: filter.stopped };
}

it.each([
  ['shows all at once when nothing can begin a stop string', ['END'], ['abc', 'def'], ['abc', 'def', ''], undefined],
  ['holds a beginning back', ['END'], ['a E', 'N', 'x'], ['a ', '', 'ENx', ''], undefined],
  ['meets one over three pieces', ['END'], ['aE', 'N', 'Db', 'c'], ['a', '', '', '', ''], 'END'],
  ['gives the held text at the end', ['END'], ['aEN'], ['a', 'EN'], undefined],
  ['keeps a false start apart from the true one', ['aab'], ['a', 'a', 'a', 'b'], ['', '', 'a', '', ''], 'aab'],
  ['takes the one that is complete first', ['abc', 'b'], ['abc'], ['a', ''], 'b'],
  ['and likewise piece by piece', ['abc', 'b'], ['a', 'b', 'c'], ['', 'a', '', ''], 'b'],
  ['works without stop strings', [], ['a', ''], ['a', '', ''], undefined],
])('%s', (_, stops, pieces, shown, stopped) => {
  expect(run(stops, pieces)).toEqual({ shown, stopped });
});

it('does not depend on how the text is cut', () => {
  const text = 'xaabaaabacabaabab';
  for (const stops of [['aaab'], ['abac', 'ca'], ['ab', 'b'], ['zz', 'bab']]) {
    const whole = run(stops, [text]);
    for (const size of [1, 2, 3, 5]) {
      const cut = run(stops, text.match(new RegExp(`.{1,${size}}`, 'g'))!);
      expect([cut.shown.join(''), cut.stopped]).toEqual([whole.shown.join(''), whole.stopped]);
    }
  }
});

it('takes very many', () => {
  const filter = createStopFilter(Array.from({ length: 200_000 }, (_, i) => `stop ${i}`));
  expect(filter.push('and stop 12')).toBe('and ');
});

it('refuses an empty stop string', () => expect(() => createStopFilter([''])).toThrow(/empty/));
