/** How attention of one token is cut into spans. */
import { expect, it } from 'vitest';
import { cut, reachOf, SPAN } from './state';

it.each([128, 256, 512])('serves every position by spans of %i, few reaches, and as many spans as the merge can afford', (wanted) => {
  const reaches = new Set<number>();
  for (let positions = 1; positions <= 32768; positions += positions < 3000 ? 1 : 61) {
    const reach = reachOf(positions, wanted);
    const { span, spans } = cut(reach, wanted);
    expect(reach, `${positions}`).toBeGreaterThanOrEqual(positions);
    expect(span * spans, `${positions}`).toBe(reach);
    if (positions <= wanted) expect({ span, spans }).toEqual({ span: wanted, spans: 1 });
    expect(span).toBeGreaterThanOrEqual(wanted);
    expect(span).toBeLessThanOrEqual(SPAN);
    if (span < SPAN) expect(spans, `${positions}`).toBeLessThanOrEqual(16);
    if (spans > 16) expect(span, `${positions}`).toBe(SPAN);
    reaches.add(reach);
  }
  expect(reaches.size).toBe(1 + Math.log2(32768 / wanted));
});
