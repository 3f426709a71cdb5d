/** What a load does for a mixture of experts that is larger than its memory budget; in the side file `experts`. */
import type { Backend, BackendLimits, BatchSizes, SegmentReader } from '../backend/backend';
import { fail } from '../errors';
import type { Paging } from './load_model';
import { matrixSpec } from './load_weights';
import { modelExperts, type ModelExperts } from './packed_experts';
import type { ByteSource } from '../store/byte_source';

/** what a backend must have beside what it reserves */
const LEAST_ROOM = 256 << 20;

/** from this budget on there is room for the activations of large batches, some 40 MB */
const LARGE_BUDGET = 256e6;

/** How much one call takes with a budget. */
export const pagedBatches = (limits: BackendLimits, budget: number): BatchSizes => ({
  ...limits,
  prefillBatch: (budget < LARGE_BUDGET ? undefined : limits.pagedBatch) ?? limits.prefillBatch,
});

/** of the files of stored models; local files are read in place */
const experts = new WeakMap<ByteSource, ModelExperts>();

export const paging: Paging = {
  stored(opened) {
    if (opened.stored?.() === false)
      fail('StorageError', {
        what: 'A model larger than memoryBudget needs storage',
        got: 'nothing is stored',
        cure: 'Use a normal window with free storage and leave the option cache out, or raise memoryBudget.',
      });
    const [file] = opened.files;
    if (!opened.stored || experts.has(file)) return opened;
    const own = modelExperts(opened.id);
    for (const file of opened.files) experts.set(file, own);
    const { close } = opened;
    opened.close = async () => {
      await own.close(); // before others may delete the model
      await close();
    };
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

  batches: pagedBatches,

  matrix(source, backend, files) {
    const spec = matrixSpec(source);
    const read: SegmentReader = async (segment, use) => {
      const { tensor } = source.segments[segment];
      const file = files[tensor.file];
      const bytes = await file.read(tensor.offset, tensor.byteLength);
      try {
        await use(bytes);
      } finally {
        file.release?.(bytes);
      }
    };
    const packed = experts.get(files[source.segments[0].tensor.file])?.add(spec, backend);
    return backend.pagedMatrix!(spec, Object.assign(read, { packed }));
  },
};
