/** Parts of the page that are seldom used: their script is loaded at the first use. */
import { showToast } from './toast';

/** @returns undefined if the script cannot be loaded, which the page then says */
export async function lazy<T>(load: () => Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch {
    showToast('This part of the page cannot be loaded. Check the network, then reload the page.');
    return undefined;
  }
}
