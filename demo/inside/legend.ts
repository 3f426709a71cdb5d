/** What colours and heights mean: the scale of colours with its ends, and the same in words. */
import { find } from '../chat/dom';
import { colourScale } from './colours';
import { figure, type Grid } from './grid';

const STOPS = 16;

export function showLegend({ largest, range, columnNames }: Grid, surface: boolean, dark: boolean): void {
  // weights of attention are never below 0
  const least = columnNames ? 0 : -1;
  const colour = colourScale(dark);
  const stops = Array.from(
    { length: STOPS + 1 },
    (_, i) => `rgb(${colour(least + ((1 - least) * i) / STOPS).join(' ')})`,
  );
  find('scale-colours', HTMLElement).style.background = `linear-gradient(to right, ${stops.join(', ')})`;
  find('scale-least', HTMLElement).textContent = figure(least * largest);
  find('scale-most', HTMLElement).textContent = figure(largest);
  const words = columnNames
    ? 'The stronger the colour, the more a token looks at the other.'
    : 'Blue is below 0, orange is above 0. The stronger the colour, the further from 0.';
  const heights = surface ? ' Height shows the same value.' : '';
  find('scale-words', HTMLElement).textContent =
    `${words}${heights} Values here go from ${figure(range[0])} to ${figure(range[1])}.`;
}
