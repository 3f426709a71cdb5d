import { describe, expect, test } from 'vitest';
import { chooseFiles } from './store/choose_files';
import { refuseArchitecture } from './other_kinds';

const checkpointError = (pattern: RegExp) =>
  expect.objectContaining({ name: 'CheckpointError', message: expect.stringMatching(pattern) });

describe('files of other kinds, by their names', () => {
  test.each<[string, string[], RegExp]>([
    [
      'a LoRA adapter',
      ['README.md', 'adapter_config.json', 'adapter_model.safetensors'],
      /LoRA adapters are not supported yet: got adapter_config\.json, .* Merge it/,
    ],
    [
      'an adapter beside a configuration',
      ['config.json', 'tokenizer.json', 'adapter_model.safetensors'],
      /LoRA adapters are not supported yet/,
    ],
    [
      'weights of PyTorch',
      ['config.json', 'tokenizer.json', 'pytorch_model.bin'],
      /Weights in \.bin or \.pt files .* got pytorch_model\.bin, .* as GGUF or \.safetensors/,
    ],
    [
      'an ONNX export',
      ['config.json', 'tokenizer.json', 'onnx/model_q4.onnx', 'onnx/model_q4.onnx_data'],
      /ONNX models are not supported yet: got onnx\/model_q4\.onnx, .* as GGUF/,
    ],
    [
      'the vision part of a model',
      ['mmproj-LFM2-VL-F16.gguf'],
      /part of a model \(mmproj\).* Choose the file of the text model, too/,
    ],
    ['weights alone', ['model.safetensors', 'README.md'], /Weights without config\.json .* Choose the whole directory/],
  ])('%s', (_, names, pattern) =>
    expect(() => chooseFiles(names, undefined, 'the folder')).toThrow(checkpointError(pattern)),
  );

  test('a model beside them is found', () => {
    const others = ['adapter_config.json', 'adapter_model.safetensors', 'pytorch_model.bin', 'model.onnx'];
    expect(chooseFiles([...others, 'a-Q4_0.gguf'], undefined, '')).toEqual(['a-Q4_0.gguf']);
    expect(
      chooseFiles(
        [...others, 'config.json', 'tokenizer.json', 'weights.safetensors', 'chat_template.json'],
        undefined,
        '',
      ),
    ).toEqual(['config.json', 'tokenizer.json', 'chat_template.json', 'weights.safetensors']);
  });

  test('other files have no kind', () =>
    expect(() => chooseFiles(['README.md'], undefined, 'the folder')).toThrow(
      expect.objectContaining({
        name: 'SourceError',
        message: expect.stringMatching(/no model in a supported format/),
      }),
    ));
});

test.each([
  ['lfm3', /LFM3/],
  ['Lfm3VlForConditionalGeneration', /Audio models and other vision/],
  ['lfm3-vl', /Audio models and other vision/],
  ['Lfm2AudioForConditionalGeneration', /Audio models and other vision/],
  ['Lfm2BidirectionalForMaskedLM', /Bidirectional/],
  ['lfm2-bidir', /Bidirectional/],
  ['LFM3ForCausalLM', /LFM3/],
  ['llama', /architecture of the model is not supported: got "llama"/],
  ['', /architecture of the model/],
  [undefined, /got nothing/],
])('the architecture %s', (name, pattern) => expect(() => refuseArchitecture(name)).toThrow(checkpointError(pattern)));
