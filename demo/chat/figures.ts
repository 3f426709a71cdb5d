/** Whether the page shows how fast replies come. */
import { keep, kept } from './history';

export const figuresShown = (): boolean => kept('figures') !== 'hidden';

export function showFigures(shown: boolean): void {
  keep('figures', shown ? undefined : 'hidden');
  document.documentElement.classList.toggle('no-figures', !shown);
}
