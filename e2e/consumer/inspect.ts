/** A strict project that looks inside a model. */
import { inspect, type AttentionWeights, type ConvGates, type Inspection } from 'rivulet/inspect';

export async function look(): Promise<number> {
  const { ids, tokens, layers }: Inspection = await inspect('./model.gguf', 'Hello', {
    onProgress: ({ phase }) => document.body.append(phase),
  });
  const gates = layers
    .filter((layer): layer is ConvGates => layer.kind === 'conv')
    .map(({ B, C, channels }) => B.length + C.length + channels);
  const heads = layers
    .filter((layer): layer is AttentionWeights => layer.kind === 'attention')
    .map(({ heads, weights }) => weights.length / heads);
  return ids.length + tokens.length + gates.length + heads.length;
}

// @ts-expect-error no text
void inspect('./model.gguf');
