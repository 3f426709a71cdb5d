/** How a picture is written in a prompt (processing_lfm2_vl.py in transformers). */
import type { PictureLayout } from './layout';

/** The token of which each takes a row of features. */
export const IMAGE_TOKEN = '<image>';

/** The special tokens of a picture, with one `<image>` for each of its rows of features. */
export function pictureText({ rows, cols, tileTokens, whole }: PictureLayout): string {
  const places = (count: number): string => IMAGE_TOKEN.repeat(count);
  let text = '';
  for (let row = 1; row <= rows && tileTokens; row++)
    for (let col = 1; col <= cols; col++) text += `<|img_row_${row}_col_${col}|>${places(tileTokens)}`;
  if (whole) text += `${tileTokens ? '<|img_thumbnail|>' : ''}${places(whole.tokens)}`;
  return `<|image_start|>${text}<|image_end|>`;
}
