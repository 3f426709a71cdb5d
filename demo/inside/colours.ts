/** Colours of values: white in the middle, orange above it and blue below it; one scale for the map and the surface. */

export type Colour = readonly [red: number, green: number, blue: number];

const LIGHT = { middle: [244, 242, 238], above: [176, 84, 20], below: [24, 92, 150] } as const;
const DARK = { middle: [40, 45, 50], above: [255, 170, 92], below: [110, 190, 255] } as const;

/** @returns the colour of a value in -1 … 1 */
export function colourScale(dark: boolean): (value: number) => Colour {
  const { middle, above, below } = dark ? DARK : LIGHT;
  return (value) => {
    const end = value < 0 ? below : above;
    // small values are seen, too
    const share = Math.sqrt(Math.min(1, Math.abs(value)));
    return [0, 1, 2].map((i) => Math.round(middle[i] + (end[i] - middle[i]) * share)) as unknown as Colour;
  };
}
