/** Exact decimal numbers: `digits` · 10^−`scale`, without trailing zeros. */

export interface Decimal {
  digits: bigint;
  scale: number;
}

/** @param text of a JSON number */
export function decimalOf(text: string | number): Decimal {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:e([-+]?\d+))?$/i.exec(String(text))!;
  let digits = BigInt(sign + whole + fraction);
  let scale = fraction.length - Number(exponent);
  if (digits === 0n) return { digits, scale: 0 };
  while (digits % 10n === 0n) {
    digits /= 10n;
    scale--;
  }
  return { digits, scale };
}

/** The number times 10^`scale`, rounded down if that is no whole number; with a flag whether it is one. */
export function scaled({ digits, scale: own }: Decimal, scale: number): { floor: bigint; exact: boolean } {
  if (own <= scale) return { floor: digits * 10n ** BigInt(scale - own), exact: true };
  const unit = 10n ** BigInt(own - scale);
  const rest = ((digits % unit) + unit) % unit;
  return { floor: (digits - rest) / unit, exact: rest === 0n };
}

export function compare(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const difference = scaled(a, scale).floor - scaled(b, scale).floor;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

export function isMultiple(value: Decimal, of: Decimal): boolean {
  const scale = Math.max(value.scale, of.scale);
  return scaled(value, scale).floor % scaled(of, scale).floor === 0n;
}

/** without an exponent */
export function plainText({ digits, scale }: Decimal): string {
  const sign = digits < 0n ? '-' : '';
  const text = String(digits < 0n ? -digits : digits);
  if (scale <= 0) return sign + text + '0'.repeat(text === '0' ? 0 : -scale);
  const padded = text.padStart(scale + 1, '0');
  return `${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}`;
}
