/** A change of the forward pass, of its recording or of the slots changes these texts: nothing may change them unnoticed. */
import { expect, it } from 'vitest';
import { printByLayer, shapePlan, SIXTEEN_LAYERS, tinyCheckpoint } from '../../e2e/fake_device';
import type { Matrix, Vector } from '../model/ops';

/** A field of a node: a matrix, a vector, an activation, or what holds them. */
function print(value: unknown): string {
  if (typeof value !== 'object' || !value) return typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value);
  if ('segments' in value) {
    const { name, rows, cols, segments } = value as Matrix;
    return `${name}[${rows}×${cols} ${segments.map((segment) => `${segment.rows} ${segment.dtype}`).join(' + ')}]`;
  }
  if ('slot' in value) return `slot ${value.slot} ${'rows' in value && 'cols' in value && `[${value.rows}, ${value.cols}]`}`;
  if ('name' in value) return `${(value as Vector).name}[${(value as Vector).length}]`;
  return Object.entries(value).map(([key, part]) => `${key} ${print(part)}`).join(' '); // prettier-ignore
}

it('records the forward pass of a 16-layer model in these nodes and slots', async () => {
  const { nodes, slots, output } = shapePlan(await tinyCheckpoint(SIXTEEN_LAYERS));
  const lines = nodes.map(({ op, ...fields }) => `${op}\n${Object.entries(fields).filter(([, value]) => value !== undefined).map(([key, value]) => `  ${key}: ${print(value)}\n`).join('')}`); // prettier-ignore
  const text = `${printByLayer(lines)}output: ${print(output)}\n${slots.map((slot, i) => `slot ${i}: [${slot.rows}, ${slot.cols}]\n`).join('')}`;
  await expect(text).toMatchFileSnapshot('plan.expected.txt');
});
