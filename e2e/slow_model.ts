/**
 * A model whose answers last: random weights at some hundred tokens a second, which never end an answer by themselves.
 */
import { NO_TOOLS } from './chat_page';
import { createHub, type Hub } from './hub';
import { ggufBytes, tinyModel } from './tools/tiny';

const HIDDEN = 512;
/** the first tokens of the vocabulary: the ends of texts and messages */
const SPECIAL_TOKENS = 8;

export async function createSlowHub(): Promise<Hub> {
  // below 20 MB, from which on the page asks before it downloads a model
  const model = tinyModel({
    dtype: (name) => (name === 'output' ? 'F32' : 'Q8_0'),
    hidden: HIDDEN,
    vocab: 272,
    contextLength: 4096,
    tied: false,
    layers: ['conv', 'attention', 'conv', 'attention', 'conv', 'conv'],
  });
  // their logits are 0, which is never among the 40 highest
  model.tensors.find(({ name }) => name === 'output.weight')!.bytes.fill(0, 0, SPECIAL_TOKENS * HIDDEN * 4);
  return createHub({ repos: { 'a/b': { 'Slow-Q8_0.gguf': ggufBytes(model) } } });
}

/** The chat page's address with this model. */
export const slowAddress = (site: { url: string }, hub: Hub): string =>
  `${site.url}?model=a/b&hub=${encodeURIComponent(hub.origin)}`;

/** Settings of the chat page, without tools: their definitions would fill the context of a model that reads bytes. */
export const SLOW_SETTINGS = JSON.stringify({
  backend: 'wasm',
  threads: 1,
  temperature: 1,
  topK: 40,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 1,
  maxTokens: 1500,
  ...NO_TOOLS,
});
