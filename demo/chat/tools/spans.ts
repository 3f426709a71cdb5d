/** A part of a text, by positions. */
export interface Span {
  start: number;
  end: number;
}

export const overlaps = (a: Span, b: Span): boolean => a.start < b.end && b.start < a.end;
export const insideAny = (span: Span, spans: readonly Span[]): boolean => spans.some((other) => overlaps(span, other));
