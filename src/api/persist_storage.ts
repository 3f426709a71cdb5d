import type { Progress } from '../store/progress';
import { requestPersistentStorage } from '../store/storage_space';

/** For smaller downloads the browser is not asked, since Firefox shows the question to the user. */
const MIN_DOWNLOAD_BYTES = 32e6;

/**
 * Asks the browser once for persistent storage when a large download begins. Only a page can ask, not the worker that
 * downloads.
 */
export function persistOnDownload(cache: boolean | 'required' | undefined): (progress: Progress) => void {
  let asked = cache === false;
  return ({ phase, total }) => {
    if (asked || phase !== 'download' || total < MIN_DOWNLOAD_BYTES) return;
    asked = true;
    void requestPersistentStorage();
  };
}
