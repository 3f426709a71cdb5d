/** The split of attention into spans. */
import { expect, it } from 'vitest';
import { splitAttentionIntoSpans, contextBucket, MAX_ATTENTION_SPAN } from './scratch';

it.each([128, 256, 512])(
  'covers every context with spans of %i, in few context buckets and at most 16 short spans',
  (wanted) => {
    const reaches = new Set<number>();
    for (let positions = 1; positions <= 32768; positions += positions < 3000 ? 1 : 61) {
      const reach = contextBucket(positions, wanted);
      const { span, spans } = splitAttentionIntoSpans(reach, wanted);
      expect(reach, `${positions}`).toBeGreaterThanOrEqual(positions);
      expect(span * spans, `${positions}`).toBe(reach);
      if (positions <= wanted) expect({ span, spans }).toEqual({ span: wanted, spans: 1 });
      expect(span).toBeGreaterThanOrEqual(wanted);
      expect(span).toBeLessThanOrEqual(MAX_ATTENTION_SPAN);
      if (span < MAX_ATTENTION_SPAN) expect(spans, `${positions}`).toBeLessThanOrEqual(16);
      if (spans > 16) expect(span, `${positions}`).toBe(MAX_ATTENTION_SPAN);
      reaches.add(reach);
    }
    expect(reaches.size).toBe(1 + Math.log2(32768 / wanted));
  },
);
