/** What a load does for a mixture of experts that is larger than its memory budget; in the side file `experts`. */
import type { Backend } from '../backend/backend';
import { fail } from '../errors';
import type { Paging } from './load_model';
import { matrixSpec } from './load_weights';

/** what a backend must have beside what it reserves */
const LEAST_ROOM = 256 << 20;

export const paging: Paging = {
  stored(opened) {
    if (opened.stored?.() === false)
      fail('StorageError', {
        what: 'A model larger than memoryBudget needs storage',
        got: 'nothing is stored',
        cure: 'Use a normal window with free storage and leave the option cache out, or raise memoryBudget.',
      });
    return opened;
  },

  /** A budget above what the backend has is no reason to fail: it holds fewer experts. */
  async reserve(backend: Backend, bytes: number): Promise<void> {
    try {
      await backend.reserve(bytes);
    } catch (error) {
      const { memory } = backend.limits;
      if ((error as Error).name !== 'MemoryError' || memory === undefined || bytes < memory) throw error;
      await backend.reserve(memory - LEAST_ROOM);
    }
  },

  matrix: (source, backend, files) =>
    backend.pagedMatrix!(matrixSpec(source), async (segment, use) => {
      const { tensor } = source.segments[segment];
      const file = files[tensor.file];
      const bytes = await file.read(tensor.offset, tensor.byteLength);
      try {
        use(bytes);
      } finally {
        file.release?.(bytes);
      }
    }),
};
