/** The tools that compute: calculate and convert_units. */
import { calculate, figure } from './arithmetic';
import { shown } from './check_call';
import { define, ToolError, UnknownNameError, type PageTool } from './tool';
import { convert, findUnit, impossible, type Unit } from './units';

export const calculateTool: PageTool = {
  definition: define('calculate', 'Work out an arithmetic expression', {
    expression: { type: 'string', description: 'The expression' },
  }),
  title: 'Calculator',
  icon: 'calculator',
  changes: 'none',
  run({ expression }) {
    const asked = String(expression).trim();
    const result = calculate(asked);
    return {
      value: { expression: asked, result },
      brief: String(result),
      summary: `${asked.replace(/\s*[=?]+\s*\??$/, '')} = ${figure(result)}`,
    };
  },
};

const KINDS: Record<Unit['quantity'], string> = {
  length: 'a length',
  mass: 'a weight',
  temperature: 'a temperature',
  volume: 'a volume',
  area: 'an area',
  speed: 'a speed',
  time: 'a time',
  data: 'an amount of data',
};

function unitNamed(given: string): Unit {
  const unit = findUnit(given);
  if (!unit)
    throw new UnknownNameError(
      `The unit ${shown(given)} is not known here. Units of length, weight, temperature, volume, area, speed, time and data are.`,
    );
  return unit;
}

const amount = (value: number, { name }: Unit): string => {
  const singular =
    value === 1 && !name.startsWith('°')
      ? name
          .replace(/^feet$/, 'foot')
          .replace(/ feet$/, ' foot')
          .replace(/^feet per/, 'foot per')
          .replace(/^inches$|(?<= )inches$/, 'inch')
          .replace(/(?<![s ])s(?= per|$)/, '')
      : name;
  return `${figure(value, 6)} ${singular}`;
};

export const convertUnits: PageTool = {
  definition: define('convert_units', 'Convert a value from one unit to another', {
    value: { type: 'number', description: 'Value to convert' },
    source: { type: 'string', description: 'Unit of the value' },
    target: { type: 'string', description: 'Unit wanted' },
  }),
  title: 'Unit converter',
  icon: 'ruler',
  changes: 'none',
  run({ value, source, target }) {
    const number = Number(value);
    const from = unitNamed(String(source));
    const to = unitNamed(String(target));
    if (from.quantity !== to.quantity)
      throw new ToolError(
        `${from.name} cannot become ${to.name}: one is ${KINDS[from.quantity]}, the other ${KINDS[to.quantity]}.`.replace(
          /^[a-z]/,
          (first) => first.toUpperCase(),
        ),
      );
    if (impossible(number, from)) throw new ToolError(`${amount(number, from)} is below absolute zero.`);
    if (from.quantity !== 'temperature' && number < 0)
      throw new ToolError(
        `The value is ${figure(number)}. ${KINDS[from.quantity].replace(/^a/, 'A')} cannot be negative.`,
      );
    const exact = convert(number, from, to);
    if (!Number.isFinite(exact)) throw new ToolError('The result is too large.');
    // differences of large offsets leave a trace of rounding
    const result = Number(exact.toPrecision(12));
    const rounded = Number(result.toPrecision(6));
    return {
      value: { value: number, source: from.name, result: rounded, target: to.name },
      brief: amount(rounded, to),
      summary: `${amount(number, from)} = ${amount(rounded, to)}`,
    };
  },
};
