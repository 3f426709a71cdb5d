/**
 * Deletions that can be taken back: the model goes from the list at once, and from storage when the time to undo is
 * over. Nothing is deleted if the page is closed before.
 */
import { deleteModel } from '../../../src/index';

export interface Deletions {
  /** ids that are about to be deleted */
  ids(): string[];
  remove(id: string): void;
  /** @returns false: too late, it is deleted */
  undo(id: string): boolean;
}

export interface DeletionsParts {
  ms: number;
  changed(): void;
  failed(id: string, error: unknown): void;
  /** replaced in tests */
  erase?(id: string): Promise<void>;
}

/** A model that another tab reads is not deleted: waiting for that tab could take for ever. */
const eraseNow = (id: string): Promise<void> => deleteModel(id, { wait: false });

export function createDeletions({ ms, changed, failed, erase = eraseNow }: DeletionsParts): Deletions {
  const pending = new Map<string, ReturnType<typeof setTimeout>>();
  const finish = async (id: string): Promise<void> => {
    try {
      await erase(id);
    } catch (error) {
      failed(id, error);
    }
    pending.delete(id);
    changed();
  };
  const running = new Set<string>();
  return {
    ids: () => [...pending.keys()],
    remove(id) {
      if (pending.has(id)) return;
      pending.set(
        id,
        setTimeout(() => {
          running.add(id);
          void finish(id).finally(() => running.delete(id));
        }, ms),
      );
      changed();
    },
    undo(id) {
      if (!pending.has(id) || running.has(id)) return false;
      clearTimeout(pending.get(id));
      pending.delete(id);
      changed();
      return true;
    },
  };
}
