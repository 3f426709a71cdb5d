/**
 * The search in the page, for the tool: what is shown is marked, and a message of a long conversation that is not shown
 * is brought into view.
 */
import { find } from './dom';
import type { Turn } from './history';
import { wordsOf } from './reply_loop';
import type { Transcript } from './transcript';

/** Where the text stands, in lower case: the first characters of each place. */
function places(text: string, wanted: string): number[] {
  const lower = text.toLowerCase();
  const found: number[] = [];
  for (let at = wanted ? lower.indexOf(wanted) : -1; at >= 0; at = lower.indexOf(wanted, at + wanted.length))
    found.push(at);
  return found;
}

/** In how many places of a message the text stands: in its words, and in those of its cards. */
export function placesIn({ content, steps = [] }: Pick<Turn, 'content' | 'steps'>, query: string): number {
  const texts = [
    content,
    ...steps.flatMap(({ text, calls }) => [wordsOf(text), ...calls.map(({ summary }) => summary)]),
  ];
  return texts.reduce((sum, text) => sum + places(text, query.toLowerCase()).length, 0);
}

/** Marks the text wherever the page shows it. The request itself and the reply that is being written do not count. */
function mark(query: string): Range[] {
  const asked = [...find('messages', HTMLOListElement).querySelectorAll('li.user')].at(-1);
  const found: Range[] = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT, (node) => {
    const parent = node.parentElement;
    if (!parent || asked?.contains(parent) || parent.closest('script, style, [aria-busy], .unseen, #announcer'))
      return NodeFilter.FILTER_REJECT;
    return parent.checkVisibility() ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_REJECT;
  });
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent ?? '';
    for (const at of places(text, query.toLowerCase())) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, Math.min(at + query.length, text.length));
      found.push(range);
    }
  }
  // older browsers count the places, and mark none
  if (typeof Highlight !== 'undefined' && CSS.highlights) CSS.highlights.set('found', new Highlight(...found));
  return found;
}

const bringIntoView = (place: Range | Element | undefined): void =>
  (place instanceof Range ? place.startContainer.parentElement : place)?.scrollIntoView({ block: 'center' });

/**
 * Marks the text, and scrolls to the first message that is shown and has it, else to the newest of the others. These
 * are drawn little by little, which is not waited for.
 * @returns the number of places, in messages that are not shown, too
 */
export function findText(query: string, transcript: Pick<Transcript, 'undrawn' | 'reveal'>): number {
  const found = mark(query);
  const inMessages = found.find(({ startContainer }) => find('messages', HTMLOListElement).contains(startContainer));
  const others = transcript
    .undrawn()
    .map((message) => ({ id: message.id, count: placesIn(message, query) }))
    .filter(({ count }) => count > 0);
  const newest = others.at(-1);
  if (inMessages || !newest) bringIntoView(inMessages ?? found[0]);
  else
    void transcript.reveal(newest.id).then((item) => {
      if (item) bringIntoView(mark(query).find(({ startContainer }) => item.contains(startContainer)) ?? item);
    });
  return found.length + others.reduce((sum, { count }) => sum + count, 0);
}
