/** Copies of a model's experts as the backend packs them, in the model's swap file; in the side file `experts`. */
import { build } from 'virtual:rivulet-shaders/experts';
import type { Backend, PackedExperts, SegmentReader } from '../backend/backend';
import type { Matrix } from '../model/ops';
import { openModelCache } from '../store/model_cache';
import { createSha256 } from '../store/sha256';
import { openSwapFile, type SwapFile } from '../store/swap_file';
import { rowBytes } from '../tensor/dtype';

/** Another tab may have the file, or the model may not be stored completely yet. */
const RETRY_MS = 3000;

/** Those of one load of a model into a backend. */
class LoadedExperts {
  private opening?: Promise<SwapFile | undefined>;
  private retryAt = 0;
  private closed = false;
  private parts = 0;
  private bytes = 0;

  constructor(
    private readonly id: string,
    private readonly backend: Backend,
  ) {}

  /** The copies of the experts whose W1 this is; all matrices must be added before the first is read. */
  add({ cols, segments }: Matrix): SegmentReader['packed'] {
    const first = this.parts;
    this.parts += segments.length;
    this.bytes += segments.reduce((sum, { rows, dtype }) => sum + rows * rowBytes(dtype, cols), 0);
    let bound: PackedExperts | undefined;
    return async () => {
      const file = await (this.opening ??= this.open().catch(() => this.later()));
      if (!file || this.closed) return undefined;
      return (bound ??= {
        read: (expert, bytes) => file.read(first + expert, bytes),
        write: (expert, bytes) => file.write(first + expert, bytes),
      });
    };
  }

  private later(): undefined {
    this.retryAt = performance.now() + RETRY_MS;
    this.opening = undefined;
  }

  private async open(): Promise<SwapFile | undefined> {
    if (performance.now() < this.retryAt) return void (this.opening = undefined);
    const cache = await openModelCache();
    if ((await cache?.manifest(this.id))?.state !== 'complete') return this.later();
    const { name, variant } = this.backend.info;
    const hash = createSha256().update(new TextEncoder().encode(JSON.stringify([build, name, variant])));
    const files = [...(await cache!.checksums(this.id))].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [, chunks] of files)
      for (const [, checksum] of [...chunks].sort(([a], [b]) => a - b)) hash.update(checksum);
    return openSwapFile(this.id, hash.digest(), { parts: this.parts, bytes: this.bytes });
  }

  /** Lets others open or delete the file; nothing is read from it any more. */
  async close(): Promise<void> {
    this.closed = true;
    (await this.opening)?.close();
  }
}

export interface ModelExperts {
  /** @returns the copies of the experts whose W1 this is */
  add(matrix: Matrix, backend: Backend): SegmentReader['packed'];
  close(): Promise<void>;
}

/**
 * A model may be loaded into several backends, one after the other.
 * @param id of the stored model
 */
export function modelExperts(id: string): ModelExperts {
  let latest: { backend: Backend; experts: LoadedExperts } | undefined;
  return {
    add(matrix, backend) {
      if (latest?.backend !== backend) {
        void latest?.experts.close();
        latest = { backend, experts: new LoadedExperts(id, backend) };
      }
      return latest.experts.add(matrix);
    },
    close: async () => latest?.experts.close(),
  };
}
