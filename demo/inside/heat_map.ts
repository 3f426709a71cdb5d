/** The values as a flat map on a 2D canvas: for every browser. */
import { colourScale } from './colours';
import type { Grid } from './grid';

/** Draws the grid over the whole canvas. */
export function drawHeatMap(canvas: HTMLCanvasElement, { rows, columns, values, largest }: Grid, dark: boolean): void {
  const context = canvas.getContext('2d');
  if (!context) return;
  const colour = colourScale(dark);
  const image = new ImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    const [red, green, blue] = colour(values[i] / largest);
    image.data.set([red, green, blue, 255], 4 * i);
  }
  const small = new OffscreenCanvas(columns, rows);
  small.getContext('2d')!.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** @returns row and column under a point of the canvas, in CSS pixels from its corner */
export const cellAt = (
  { rows, columns }: Grid,
  x: number,
  y: number,
  width: number,
  height: number,
): { row: number; column: number } => ({
  row: Math.min(rows - 1, Math.max(0, Math.floor((y / height) * rows))),
  column: Math.min(columns - 1, Math.max(0, Math.floor((x / width) * columns))),
});
