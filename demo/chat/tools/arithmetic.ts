/** Arithmetic, parsed and computed here: nothing that a model writes is ever run as code. */
import { mathText } from './math_text';
import { ToolError } from './tool';

export const LONGEST_EXPRESSION = 200;

type Token = { kind: 'number'; value: number; text: string } | { kind: 'sign'; text: string };

const TOKEN = /\s*(?:(\d+(?:\.\d+)?(?:e[+-]?\d{1,3}(?![\d.]))?|\.\d+)|(sqrt|abs|of|mod|pi)(?![a-z])|([-+*/^%()]))/gy;

function tokens(text: string): Token[] {
  const found: Token[] = [];
  let at = 0;
  while (at < text.length && text.slice(at).trim() !== '') {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match)
      throw new ToolError(
        `"${text.slice(at).trim().slice(0, 20)}" is no part of an expression. Numbers, + − × ÷ ^ %, parentheses and sqrt are.`,
      );
    const [, number, word, sign] = match;
    if (number !== undefined) found.push({ kind: 'number', value: Number(number), text: number });
    else if (word === 'pi') found.push({ kind: 'number', value: Math.PI, text: 'pi' });
    else found.push({ kind: 'sign', text: word ?? sign });
    at = TOKEN.lastIndex;
  }
  return found;
}

/** A value, and whether it is a bare percentage: '200 + 10%' adds a tenth of 200. */
interface Term {
  value: number;
  percent?: boolean;
}

/** sum → product → unary → power → percent → number, function or parentheses */
function parse(list: Token[]): number {
  let at = 0;
  const peek = (): string | undefined => (list[at]?.kind === 'sign' ? list[at].text : undefined);
  const take = (...signs: string[]): string | undefined => {
    const sign = peek();
    if (sign === undefined || !signs.includes(sign)) return undefined;
    at++;
    return sign;
  };
  const begins = (): boolean => list[at]?.kind === 'number' || ['(', 'sqrt', 'abs'].includes(peek() ?? '');

  function sum(): Term {
    let left = product();
    for (let sign = take('+', '-'); sign; sign = take('+', '-')) {
      const right = product();
      const part = right.percent && !left.percent ? left.value * right.value : right.value;
      left = { value: left.value + (sign === '+' ? part : -part), percent: left.percent && right.percent };
    }
    return left;
  }
  function product(): Term {
    let left = unary();
    for (;;) {
      const sign =
        take('*', '/', 'of', 'mod') ??
        (peek() === '(' || peek() === 'sqrt' || (list[at]?.text === 'pi' && list[at - 1]?.kind === 'number')
          ? '*'
          : undefined);
      if (!sign) return left;
      const right = unary().value;
      if ((sign === '/' || sign === 'mod') && right === 0) throw new ToolError('A division by zero has no result.');
      left = {
        value:
          sign === '/'
            ? left.value / right
            : sign === 'mod'
              ? left.value - right * Math.floor(left.value / right)
              : left.value * right,
      };
    }
  }
  function unary(): Term {
    if (take('+')) return unary();
    if (!take('-')) return power();
    const term = unary();
    return { value: -term.value, percent: term.percent };
  }
  function power(): Term {
    const base = percent();
    if (!take('^')) return base;
    const exponent = unary().value;
    if (base.value === 0 && exponent < 0) throw new ToolError('A division by zero has no result.');
    if (base.value < 0 && !Number.isInteger(exponent))
      throw new ToolError('A root of a negative number has no real result.');
    return { value: base.value ** exponent };
  }
  function percent(): Term {
    const value = primary();
    if (!take('%')) return { value };
    if (begins())
      throw new ToolError('A % between two numbers can be read in two ways. Write "10% of 3" or "10 mod 3".');
    return { value: value / 100, percent: true };
  }
  function primary(): number {
    const token = list[at++];
    if (token === undefined) throw new ToolError('The expression ends too early.');
    if (token.kind === 'number') return token.value;
    if (token.text === '(') {
      const { value } = sum();
      if (!take(')')) throw new ToolError('A parenthesis is not closed.');
      return value;
    }
    if (token.text === 'sqrt' || token.text === 'abs') {
      const value = primary();
      if (token.text === 'abs') return Math.abs(value);
      if (value < 0) throw new ToolError('A root of a negative number has no real result.');
      return Math.sqrt(value);
    }
    throw new ToolError(`The expression has "${token.text}" where a number is expected.`);
  }

  const { value } = sum();
  if (at < list.length) throw new ToolError(`The expression has "${list[at].text}" where + − × or ÷ is expected.`);
  return value;
}

/**
 * The value of an expression, rounded where binary fractions would show. Throws a `ToolError` that says what is wrong.
 */
export function calculate(expression: string): number {
  if (expression.length > LONGEST_EXPRESSION)
    throw new ToolError(
      `The expression has ${expression.length} characters. At most ${LONGEST_EXPRESSION} are possible.`,
    );
  const list = tokens(
    mathText(expression)
      .replace(/[\s=?!]+$/, '')
      .replace(/\.$/, ''),
  );
  if (list.length === 0) throw new ToolError('The expression is empty.');
  const value = parse(list);
  if (!Number.isFinite(value)) throw new ToolError('The result is too large.');
  return Number(value.toPrecision(14)) + 0; // no -0
}

/** A number for people: '1,234.5', at most `digits` significant ones unless it is whole. */
export function figure(value: number, digits = 10): string {
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-6))
    return value
      .toExponential()
      .replace(/(\.\d{6})\d+/, '$1')
      .replace('e+', ' × 10^')
      .replace('e-', ' × 10^-');
  return value.toLocaleString(
    'en-US',
    Number.isInteger(value) ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: digits },
  );
}
