/** A picture as the vision encoder gets it: resized, and cut into tiles. */
import { layoutOf, type LayoutRules, type PictureLayout } from './layout';
import type { Tile } from './patches';
import { resizePixels, type Pixels, type PixelStrips } from './resize';

export interface TiledPicture {
  layout: PictureLayout;
  /** row by row, the thumbnail last */
  tiles: Tile[];
}

export function cutPicture(picture: Pixels | PixelStrips, config: LayoutRules): TiledPicture {
  const { patchSize: P, preparation: { tileSize } } = config; // prettier-ignore
  const layout = layoutOf(picture.width, picture.height, config);
  const { rows, cols, whole } = layout;
  const tiles: Tile[] = [];
  if (rows * cols > 1) {
    const stride = cols * tileSize;
    const pixels = resizePixels(picture, stride, rows * tileSize);
    const side = tileSize / P;
    for (let row = 0; row < rows; row++)
      for (let col = 0; col < cols; col++)
        tiles.push({ pixels, stride, left: col * tileSize, top: row * tileSize, width: side, height: side });
  }
  if (whole) {
    const { width, height } = whole;
    const pixels = resizePixels(picture, width, height);
    tiles.push({ pixels, stride: width, left: 0, top: 0, width: width / P, height: height / P });
  }
  return { layout, tiles };
}
