import type { Progress } from '../store/progress';
import { persistStorage } from '../store/room';

/** Bytes of a download from which on the browser is asked: Firefox shows the question to the reader. */
const WORTH_ASKING = 32e6;

/**
 * Asks the browser to keep what is stored, once, when a large download has begun: the reader has just asked for it. Only a page can ask, not
 * the worker that downloads.
 */
export function asksToPersist(cache: boolean | 'required' | undefined): (progress: Progress) => void {
  let asked = cache === false;
  return ({ phase, total }) => {
    if (asked || phase !== 'download' || total < WORTH_ASKING) return;
    asked = true;
    void persistStorage();
  };
}
