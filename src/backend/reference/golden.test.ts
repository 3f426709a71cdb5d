/** Activations of every module against those of transformers (e2e/golden), on the Hugging Face directory. */
import { firstState } from '../backend';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../../e2e/tools/golden';
import { openCheckpoint } from '../../engine/checkpoint';
import { loadWeights } from '../../engine/load_weights';
import { memorySource } from '../../store/byte_source';
import { recordModel } from '../model_plan';
import { openReferenceBackend } from './backend';

const golden = join(GOLDEN_DIRECTORY, 'dense');

interface Header {
  [name: string]: { shape: [number, number]; data_offsets: [number, number] };
}

describe('activations by module name', () => {
  it('match to 1e-3 of the largest', async () => {
    const files = readdirSync(join(golden, 'model')).map((name) =>
      memorySource(name, readFileSync(join(golden, 'model', name))),
    );
    const checkpoint = await openCheckpoint(files);
    const got = new Map<string, { values: Float32Array; cols: number }>();
    const backend = openReferenceBackend({ onModuleOutput: (name, values, cols) => got.set(name, { values, cols }) });
    const weights = await loadWeights(checkpoint, backend, () => undefined);
    const state = await firstState(backend, recordModel(checkpoint, weights), { contextLength: 64, prefillBatch: 64 });
    const { prompts } = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as {
      prompts: Record<string, number[]>;
    };
    await state.prefill(Uint32Array.from(prompts.T7));

    const bytes = readFileSync(join(golden, 'activations.safetensors'));
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Header;
    const names = Object.keys(header).filter((name) => name !== '__metadata__');
    expect(names.length).toBe(39);
    for (const name of names) {
      const [from, to] = header[name].data_offsets;
      const start = bytes.byteOffset + 8 + length;
      const all = new Float32Array(bytes.buffer.slice(start + from, start + to));
      const mine = got.get(name);
      expect(mine, name).toBeTruthy();
      // behind `last` only the last token's row is computed
      const wanted = all.subarray(all.length - mine!.values.length);
      const largest = wanted.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      wanted.forEach((w, i) => expect(Math.abs(mine!.values[i] - w), `${name}[${i}]`).toBeLessThan(1e-3 * largest));
    }
  });
});
