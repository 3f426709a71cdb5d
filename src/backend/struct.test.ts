import { expect, it } from 'vitest';
import { structLayout } from './struct';

const layout = structLayout('count,eps:f32,total:f64,,,last:u32');

it('writes fields by name at their offsets and leaves the others', () => {
  const buffer = new ArrayBuffer(64);
  const views = { u32: new Uint32Array(buffer).fill(7), f32: new Float32Array(buffer), f64: new Float64Array(buffer) };
  layout.write(views, 16, { total: -2.5, eps: 0.5, last: 2 ** 32 - 1, count: undefined });
  expect([layout.bytes, layout.offset('last')]).toEqual([24, 20]);
  expect([views.u32[4], views.f32[5], views.f64[3], views.u32[8], views.u32[9], views.u32[10]]).toEqual([
    7,
    0.5,
    -2.5,
    7,
    2 ** 32 - 1,
    7,
  ]);
});

it('writes addresses of 64-bit memory in two words', () => {
  const u32 = new Uint32Array(6).fill(7);
  structLayout('count,,at:u64,').write({ u32 }, 8, { at: 5 * 2 ** 32 + 2 ** 31 + 64 });
  expect([...u32]).toEqual([7, 7, 7, 7, 2 ** 31 + 64, 5]);
});

it('knows no other fields', () => {
  expect(() => layout.offset('size')).toThrow('no size in count,eps:f32');
  expect(() => layout.write({ u32: new Uint32Array(8) }, 0, { count: 1, size: 2 })).toThrow('no size in count');
});

it('packs all fields or none', () => {
  const two = structLayout('position:u32,scale:f32');
  expect([...new Float32Array(two.pack({ scale: 1.5, position: 3 }).buffer)][1]).toBe(1.5);
  expect(two.pack({ scale: 0, position: 3 })[0]).toBe(3);
  expect(() => two.pack({ position: 3 })).toThrow('no value of scale');
  expect(() => two.pack({ position: 3, scale: 1, count: 1 })).toThrow('no count in position:u32');
});
