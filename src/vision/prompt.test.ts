/** Pictures in prompts, against the ids of transformers' processor. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, test } from 'vitest';
import { fileSource } from '../../e2e/file_source';
import { GOLDEN_DIRECTORY } from '../../e2e/tools/golden';
import { openCheckpoint } from '../engine/checkpoint';
import { PREPARATION } from '../model/lfm2_vl';
import { createTokenizer } from '../text/tokenizer';
import { layoutOf, type LayoutRules, type PictureLayout } from './layout';
import { pictureText } from './prompt';

const RULES: LayoutRules = { patchSize: 16, downsample: 2, preparation: PREPARATION };
const directory = join(GOLDEN_DIRECTORY, 'vision');
const { cases } = JSON.parse(readFileSync(join(directory, 'expected.json'), 'utf8')) as {
  cases: Record<string, { prompt: string; input_ids: number[]; images: { width: number; height: number }[] }>;
};

test.each(Object.entries(cases))('%s', async (_, { prompt, input_ids, images }) => {
  const { tokenizer } = await openCheckpoint([fileSource(join(directory, 'gguf', 'tiny-Q8_0.gguf'))]);
  let picture = 0;
  const text = prompt.replaceAll('<image>', () => {
    const { width, height } = images[picture++];
    return pictureText(layoutOf(width, height, RULES));
  });
  expect(createTokenizer(tokenizer.json, tokenizer.config).encode(text)).toEqual(input_ids);
});

it('names the place of each tile, and the thumbnail', () => {
  const layout: PictureLayout = {
    rows: 2,
    cols: 1,
    tileTokens: 2,
    whole: { width: 32, height: 32, tokens: 1 },
    tokens: 5,
  };
  expect(pictureText(layout)).toBe(
    '<|image_start|><|img_row_1_col_1|><image><image><|img_row_2_col_1|><image><image>' +
      '<|img_thumbnail|><image><|image_end|>',
  );
  expect(pictureText({ ...layout, whole: undefined })).not.toContain('thumbnail');
});
