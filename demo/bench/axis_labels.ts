/** Labels of the x axis of a plot. */
import { count } from '../chat/format';

/** width of a letter and room between labels, in CSS pixels */
const [LETTER, GAP] = [7, 8];

/** 128, 1k, 1,500: a position of a context, short enough for an axis. */
export const positionLabel = (position: number): string =>
  position % 1024 === 0 ? `${count(position / 1024)}k` : count(position);

/**
 * Leaves out the labels that would touch the one to their left. @param places of their middles, in CSS pixels from the
 * left
 */
export function withoutOverlap(labels: string[], places: number[]): string[] {
  let end = -Infinity;
  return labels.map((label, i) => {
    const half = (label.length * LETTER) / 2;
    if (places[i] - half < end + GAP) return '';
    end = places[i] + half;
    return label;
  });
}
