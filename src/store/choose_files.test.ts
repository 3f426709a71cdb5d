import { expect, it, test } from 'vitest';
import { chooseFiles } from './choose_files';

const DYNAMIC = [
  'M-BF16.gguf',
  'M-Q2_K.gguf',
  'M-Q4_0.gguf',
  'M-Q4_K_M.gguf',
  'M-UD-IQ1_S.gguf',
  'M-UD-Q4_K_M.gguf',
  'M-UD-Q4_K_XL.gguf',
  'M-UD-Q8_K_XL.gguf',
  'config.json',
];
const FOLDERS = [
  'BF16/M-BF16-00001-of-00002.gguf',
  'BF16/M-BF16-00002-of-00002.gguf',
  'UD-Q4_K_XL/M-UD-Q4_K_XL.gguf',
  'Q8_0/M-Q8_0.gguf',
  'small/M-Q2_K.gguf',
  'small/M-Q6_K_L.gguf',
];

it.each<[string, string[], string | undefined, string]>([
  ['a dynamic type', DYNAMIC, 'UD-Q4_K_XL', 'M-UD-Q4_K_XL.gguf'],
  ['a dynamic type in small letters', DYNAMIC, 'ud-q4_k_xl', 'M-UD-Q4_K_XL.gguf'],
  ['a plain type beside a dynamic one', DYNAMIC, 'Q4_K_M', 'M-Q4_K_M.gguf'],
  ['a type that only a dynamic file has', DYNAMIC, 'Q8_K_XL', 'M-UD-Q8_K_XL.gguf'],
  [
    'an importance matrix before the type',
    ['M.i1-IQ4_XS.gguf', 'M.i1-Q4_K_M.gguf', 'M.i1-Q6_K.gguf'],
    'i1-Q4_K_M',
    'M.i1-Q4_K_M.gguf',
  ],
  ['a name behind the type', ['M-Q4_0.gguf', 'M-Q4_0-imat.gguf'], 'Q4_0-imat', 'M-Q4_0-imat.gguf'],
  ['the name of a file without its end', DYNAMIC, 'M-Q4_0', 'M-Q4_0.gguf'],
  ['a type that is the name of a folder', FOLDERS, 'UD-Q4_K_XL', 'UD-Q4_K_XL/M-UD-Q4_K_XL.gguf'],
  ['a folder of split files', FOLDERS, 'BF16', 'BF16/M-BF16-00001-of-00002.gguf'],
  ['a folder with several types', FOLDERS, 'small', 'small/M-Q6_K_L.gguf'],
  ['no wish: 4 bits first', DYNAMIC, undefined, 'M-Q4_0.gguf'],
  [
    'no wish: Q4_K_L before Q2_K and IQ2_M',
    ['M-IQ2_M.gguf', 'M-Q2_K.gguf', 'M-Q2_K_L.gguf', 'M-Q4_K_L.gguf', 'M-Q6_K_L.gguf'],
    undefined,
    'M-Q4_K_L.gguf',
  ],
  [
    'no wish: a dynamic type before IQ1, IQ2 and TQ1',
    ['M-UD-IQ1_M.gguf', 'M-UD-IQ2_XXS.gguf', 'M-UD-Q5_K_XL.gguf', 'M-UD-TQ1_0.gguf'],
    undefined,
    'M-UD-Q5_K_XL.gguf',
  ],
  [
    'no wish: IQ4_XS before 3 bits and types that cannot be read',
    ['M-IQ2_M.gguf', 'M-IQ3_XXS.gguf', 'M-IQ3_M.gguf', 'M-Q3_K_M.gguf', 'M-IQ4_XS.gguf'],
    undefined,
    'M-IQ4_XS.gguf',
  ],
  ['no wish: 3 bits before Q2_K', ['M-IQ3_XS.gguf', 'M-Q2_K.gguf', 'M-IQ3_S.gguf'], undefined, 'M-IQ3_S.gguf'],
  [
    'no wish: Q2_K before what cannot be read',
    ['M-IQ3_XXS.gguf', 'M-Q2_K.gguf', 'M-IQ2_S.gguf'],
    undefined,
    'M-Q2_K.gguf',
  ],
  ['no wish: MXFP4 of a mixture', ['M-IQ2_S.gguf', 'M-MXFP4_MOE.gguf', 'M-Q8_0.gguf'], undefined, 'M-MXFP4_MOE.gguf'],
  ['no wish: types packed for one processor come last', ['M-Q4_0_4_4.gguf', 'M-Q8_0.gguf'], undefined, 'M-Q8_0.gguf'],
  [
    'no wish: a name without a type before one that cannot be read',
    ['M-IQ1_S.gguf', 'model-longer.gguf'],
    undefined,
    'model-longer.gguf',
  ],
  [
    'no wish: a checkpoint before a file that cannot be read',
    ['M-IQ1_S.gguf', 'config.json', 'tokenizer.json', 'model.safetensors'],
    undefined,
    'config.json',
  ],
  [
    'no wish: a file that can be read before a checkpoint',
    ['M-Q8_0.gguf', 'config.json', 'tokenizer.json', 'model.safetensors'],
    undefined,
    'M-Q8_0.gguf',
  ],
  ['no wish: what cannot be read where nothing else is', ['M-IQ1_S.gguf', 'M-IQ2_XXS.gguf'], undefined, 'M-IQ1_S.gguf'],
])('%s', (_, names, selector, wanted) => expect(chooseFiles(names, selector, 'the folder')[0]).toBe(wanted));

test.each<[string, string[], string | undefined, string[]]>([
  [
    'the best one that is beside it',
    ['V-Q4_0.gguf', 'mmproj-V-F16.gguf', 'mmproj-V-Q8_0.gguf', 'other/mmproj-Q4_0.gguf'],
    undefined,
    ['V-Q4_0.gguf', 'mmproj-V-Q8_0.gguf'],
  ],
  [
    'also behind all shards, and where a file is chosen',
    ['a/V-F16-00001-of-00002.gguf', 'a/V-F16-00002-of-00002.gguf', 'a/V.mmproj-BF16.gguf'],
    'a/V-F16-00001-of-00002.gguf',
    ['a/V-F16-00001-of-00002.gguf', 'a/V-F16-00002-of-00002.gguf', 'a/V.mmproj-BF16.gguf'],
  ],
  ['none in another folder', ['V-Q4_0.gguf', 'b/mmproj-F16.gguf'], 'Q4_0', ['V-Q4_0.gguf']],
  ['itself, if it is chosen', ['V-Q4_0.gguf', 'mmproj-F16.gguf'], 'mmproj-F16.gguf', ['mmproj-F16.gguf']],
])('a vision encoder goes with its text model: %s', (_, names, selector, wanted) =>
  expect(chooseFiles(names, selector, 'the folder')).toEqual(wanted),
);

it.each(['Q5_K_M', 'M', '0', 'K_M', 'gguf', 'config.json'])(
  '%s is no model: the error lists those that are',
  (selector) => {
    expect(() => chooseFiles(DYNAMIC, selector, 'the folder')).toThrow(
      expect.objectContaining({
        name: 'SourceError',
        message: expect.stringContaining('got BF16, Q2_K, Q4_0, Q4_K_M'),
      }),
    );
  },
);
