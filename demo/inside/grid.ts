/** What is drawn: rows are tokens; columns are channels of a gate, or the tokens that a head looks at. */
import type { Inspection } from '../../src/inspect/index';

export interface Grid {
  rows: number;
  columns: number;
  /** [rows, columns] */
  values: Float32Array;
  rowNames: string[];
  /** absent where the columns are channels */
  columnNames?: string[];
  /** the largest magnitude, which gets the full colour */
  largest: number;
  /** the smallest and the largest value */
  range: [least: number, most: number];
}

type Layer = Inspection['layers'][number];

/** What can be chosen of a layer. */
export const partsOf = (layer: Layer): string[] =>
  layer.kind === 'conv'
    ? ['B, what goes in', 'C, what comes out']
    : Array.from({ length: layer.heads }, (_, head) => `head ${head}`);

/** @param part index in `partsOf` */
export function gridOf({ tokens }: Inspection, layer: Layer, part: number): Grid {
  const T = tokens.length;
  const names = tokens.map(tokenName);
  const values =
    layer.kind === 'conv' ? (part === 0 ? layer.B : layer.C) : layer.weights.subarray(part * T * T, (part + 1) * T * T);
  const largest = layer.kind === 'conv' ? values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1 : 1;
  const range: Grid['range'] = [
    values.reduce((least, value) => Math.min(least, value), Infinity),
    values.reduce((most, value) => Math.max(most, value), -Infinity),
  ];
  return {
    rows: T,
    columns: values.length / T,
    values,
    rowNames: names,
    largest,
    range,
    ...(layer.kind === 'attention' && { columnNames: names }),
  };
}

/** A token as people can read it: its spaces and line ends are seen. */
export const tokenName = (token: string): string =>
  token === '' ? '∅' : token.replaceAll(' ', '␣').replaceAll('\n', '⏎').replaceAll('\t', '⇥');

/** In three figures, without trailing zeros. */
export const figure = (value: number): string => String(Number(value.toPrecision(3)));

/** The strongest columns of a row: for each its name and value. */
export function strongest(
  { values, columns, columnNames }: Grid,
  row: number,
  count: number,
): { name: string; value: number }[] {
  const all = Array.from({ length: columns }, (_, column) => ({ column, value: values[row * columns + column] }));
  all.sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  return all
    .slice(0, count)
    .filter(({ value }) => value !== 0)
    .map(({ column, value }) => ({ name: columnNames?.[column] ?? `channel ${column}`, value }));
}
