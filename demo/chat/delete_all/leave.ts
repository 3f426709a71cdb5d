/**
 * Deleting everything that the page has stored is the work of a page of its own, delete.html: there nothing holds a
 * database open or writes back what is being deleted. Every tab of this site goes there.
 */
export const CHANNEL = 'rivulet-chat.deletion';
/** sessionStorage: this tab's user has said yes. A link from elsewhere cannot set it */
export const CONFIRMED = 'rivulet-chat.deletion';
/** of the address: another tab deletes */
export const TOLD = '#told';

/** Asks all tabs of the chat page to leave it; the answer of each that is still there. */
export type DeletionMessage = 'leave' | 'here';

let left = false;

/** Goes to delete.html. What the page would store on its way out is not stored. */
export function leave(why: typeof TOLD | ''): void {
  if (left) return;
  left = true;
  Storage.prototype.setItem = () => undefined;
  IDBObjectStore.prototype.put = () => {
    throw new DOMException('This page stores nothing any more.', 'AbortError');
  };
  location.replace(`delete.html${why}`);
}

/** Leaves this page when another tab deletes everything. */
export function leaveWithOthers(): void {
  if (typeof BroadcastChannel === 'undefined') return;
  const channel = new BroadcastChannel(CHANNEL);
  channel.addEventListener('message', ({ data }: MessageEvent<DeletionMessage>) => {
    if (data !== 'leave') return;
    channel.postMessage('here' satisfies DeletionMessage);
    leave(TOLD);
  });
}
