/** The script of delete.html. */
import { element, find } from '../dom';
import { deleteStored } from './delete_stored';
import { CHANNEL, CONFIRMED, TOLD, type DeletionMessage } from './leave';

/** Other tabs answer within milliseconds and are gone within a second. A frozen one does neither. */
const ROUND_MS = 400;
const MOST_ROUNDS = 20;

const title = find('title', HTMLElement);
const text = find('text', HTMLElement);
const button = find('delete', HTMLButtonElement);
const again = find('again', HTMLAnchorElement);

const show = (heading: string, ...paragraphs: (string | Node)[]): void => {
  document.title = `${heading} · Rivulet`;
  title.textContent = heading;
  text.replaceChildren(
    ...paragraphs.map((paragraph) => (typeof paragraph === 'string' ? element('p', {}, paragraph) : paragraph)),
  );
};

/** Other tabs of the chat page leave it. */
async function waitForOthers(): Promise<void> {
  if (typeof BroadcastChannel === 'undefined') return;
  const channel = new BroadcastChannel(CHANNEL);
  let heard = true;
  channel.onmessage = ({ data }: MessageEvent<DeletionMessage>) => void (heard ||= data === 'here');
  for (let round = 0; heard && round < MOST_ROUNDS; round++) {
    heard = false;
    channel.postMessage('leave' satisfies DeletionMessage);
    await new Promise((go) => setTimeout(go, ROUND_MS));
  }
  channel.close();
}

async function deleteAll(): Promise<void> {
  button.hidden = true;
  show('Deleting…');
  await waitForOthers();
  const failed = await deleteStored();
  again.hidden = false;
  if (failed.length)
    show(
      'Not everything was deleted',
      'This could not be deleted:',
      element('ul', {}, ...failed.map((what) => element('li', {}, what))),
      'Close the other tabs of this page and try again, or delete the data of this site in the settings of the browser.',
    );
  else show('Everything is deleted', 'Nothing of this page is stored on this device any more. You can close this tab.');
  button.hidden = failed.length === 0;
  button.textContent = 'Try again';
  title.focus();
}

/** Whether the user has said yes in the chat page, in this tab. It holds once. */
function confirmed(): boolean {
  try {
    const given = sessionStorage.getItem(CONFIRMED) !== null;
    sessionStorage.removeItem(CONFIRMED);
    return given;
  } catch {
    return false;
  }
}

button.addEventListener('click', () => void deleteAll());
if (confirmed()) void deleteAll();
else if (location.hash === TOLD) {
  show(
    'Everything was deleted',
    'Another tab has deleted all that this page had stored on this device. This tab has stopped.',
  );
  again.hidden = false;
} else {
  show(
    'Delete everything?',
    'This deletes the conversations, unsent messages, notes, timers, settings and models of this page from this device, and the page as it is stored for use without a network. This cannot be undone.',
  );
  button.hidden = again.hidden = false;
}
