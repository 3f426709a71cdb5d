/** Which numbers a value may be, and the automaton of their digits. */
import { memo } from './memo';
import { buildDfa, wordsDfa } from './dfa';
import { compare, isMultiple, plainText, type Decimal } from './decimal';
import { createDigits, type Bound, type Conditions } from './digits';
import { ofType, type Literal } from './formula';
import { createLexer, RAW, type Lexer } from './lexer';
import { parseRegex } from './regex';
import { sharedTerms } from './term';

/** Numbers without conditions. They are finite in JavaScript. */
const FREE_NUMBER = String.raw`-?(0|[1-9]\d{0,19})(\.\d{1,20})?([eE][-+]?(\d{1,2}|1\d\d|2[0-7]\d))?`;
const FREE_INTEGER = String.raw`-?(0|[1-9]\d{0,19})(\.0)?`;

const free = new Map<string, Lexer>();
const freeLexer = (source: string): Lexer =>
  memo(free, source, () => {
    const terms = sharedTerms();
    return createLexer(buildDfa(terms, [parseRegex(terms, source, 'whole')]), RAW);
  });

const signOf = (side: 'low' | 'high'): number => (side === 'low' ? 1 : -1);

/** Whether a number is within a bound. */
export function within(value: Decimal, { value: bound, side, open }: Bound): boolean {
  const order = compare(value, bound) * signOf(side);
  return order > 0 || (order === 0 && !open);
}

function conditionsOf(literals: readonly Literal[]): Conditions & { values?: readonly Decimal[] } {
  const tightest = (side: 'low' | 'high'): Bound | undefined =>
    ofType(literals, 'bound')
      .filter((bound) => bound.side === side)
      .sort((a, b) => compare(b.value, a.value) * signOf(side) || Number(b.open) - Number(a.open))[0];
  const multiples = (negated: boolean): Decimal[] =>
    ofType(literals, 'multiple').flatMap((one) => (one.negated === negated ? one.of : []));
  const numbers = ofType(literals, 'numbers');
  return {
    low: tightest('low'),
    high: tightest('high'),
    multiples: multiples(false),
    notMultiples: multiples(true),
    values: numbers.find(({ negated }) => !negated)?.values,
    excluded: numbers.flatMap(({ values, negated }) => (negated ? values : [])),
  };
}

/** Whether one literal about numbers holds. */
export function numberFits(value: Decimal, literal: Literal): boolean {
  switch (literal.type) {
    case 'bound':
      return within(value, literal);
    case 'multiple':
      return isMultiple(value, literal.of) !== literal.negated;
    case 'numbers':
      return literal.values.some((other) => !compare(value, other)) !== literal.negated;
    default:
      return true;
  }
}

/** @throws Unsupported */
export function createNumberPart(literals: readonly Literal[]) {
  const conditions = conditionsOf(literals);
  const { multiples, values } = conditions;
  const part = (lexer: Lexer, count: number) => ({
    has: () => count > 0,
    count: () => count,
    kind: { lexer, min: 0, max: Infinity },
  });
  if (values) {
    const own = values.filter((value) => literals.every((literal) => numberFits(value, literal)));
    const words = new Set(own.flatMap(textsOf));
    return part(createLexer(wordsDfa([...words].sort()), RAW), new Set(own.map(plainText)).size);
  }
  if (literals.length === multiples.length && multiples.every((of) => plainText(of) === '1'))
    return part(freeLexer(multiples.length ? FREE_INTEGER : FREE_NUMBER), Infinity);
  const digits = createDigits(conditions);
  return part(digits, digits.count);
}

/** The ways to write one of some values. */
function textsOf(value: Decimal): string[] {
  const plain = plainText(value);
  const texts = plain.includes('.') ? [plain, `${plain}0`] : [plain, `${plain}.0`];
  if (plain.length <= 40) return plain === '0' ? [...texts, '-0', '-0.0'] : texts;
  const short = String(Number(plain));
  return Number.isFinite(Number(plain)) ? [short, short.replace('e+', 'e')] : [];
}
