/** IEEE 754 half precision and bfloat16, as bit patterns in the low 16 bits of a number. */

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** The value of a half: subnormals, infinities and NaN included. Exact. */
export function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The nearest half, ties to even; beyond 65504 infinity. The value is taken as a float first. */
export function floatToHalf(value: number): number {
  float[0] = value;
  const sign = (bits[0] >>> 16) & 0x8000;
  const magnitude = Math.abs(float[0]);
  if (Number.isNaN(magnitude)) return sign | 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  // the step between halves of this size; a round up into the next binade carries into the exponent by itself
  const exponent = Math.max(((bits[0] >>> 23) & 255) - 127, -14);
  const steps = roundToEven(magnitude / 2 ** (exponent - 10));
  return sign | (((exponent + 14) << 10) + steps);
}

/** The value of a bfloat16: the high half of a float. Exact. */
export function bfloatToFloat(bfloat: number): number {
  bits[0] = bfloat << 16;
  return float[0];
}

/** The nearest bfloat16, ties to even. */
export function floatToBfloat(value: number): number {
  float[0] = value;
  if (Number.isNaN(value)) return 0x7fc0;
  return (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) >>> 16;
}

function roundToEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
