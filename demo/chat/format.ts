/**
 * Figures as people read them, with a space that does not break a line. Bytes are decimal, as file lists and operating
 * systems show them.
 */
export function bytes(n: number): string {
  if (n < 1000) return `${Math.round(n)}\u00a0B`;
  const unit = n < 999_500 ? 'KB' : n < 999_500_000 ? 'MB' : 'GB';
  const value = n / { KB: 1e3, MB: 1e6, GB: 1e9 }[unit];
  const decimals = (value < 9.95 ? 1 : 0) + (unit === 'GB' ? 1 : 0);
  return `${value.toFixed(decimals)}\u00a0${unit}`;
}

export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)}\u00a0ms`;
  if (seconds < 59.5)
    return `${seconds < 9.95 && !Number.isInteger(seconds) ? seconds.toFixed(1) : Math.round(seconds)}\u00a0s`;
  if (seconds < 3570) return `${Math.round(seconds / 60)}\u00a0min`;
  return `${(seconds / 3600).toFixed(1)}\u00a0h`;
}

/** Tokens per second; slow models need the decimals. */
export const speed = (tokensPerSecond: number): string =>
  `${tokensPerSecond < 10 ? tokensPerSecond.toFixed(1) : count(Math.round(tokensPerSecond))}\u00a0tok/s`;

/** The same in words. */
export const speedInWords = (tokensPerSecond: number): string =>
  speed(tokensPerSecond).replace('tok/s', 'tokens a second');

/** A whole number with its thousands apart. */
export const count = (n: number): string => n.toLocaleString('en');
