/**
 * Shows a growing Markdown text. Blocks that did not change are left alone, and a long text is shown little by little,
 * so that the page never stands still.
 */
import type { Token, Tokens } from 'marked';
import { element } from '../dom';
import { colourCode } from './code';
import { blocksOf, tokensOf, type Heading, type Links } from './html';
import { moreButton, PART } from './long_text';
import { drawMath } from './math';

/** characters that are read at a time */
const WINDOW = 4096;
/** characters that are shown at once, however long it takes */
const AT_ONCE = 2048;
/** blocks that are shown between two looks at the clock */
const BATCH = 32;
/** a block that is longer is shown as plain text */
const GIANT = 16 * WINDOW;
/** characters of a list from which on its items are shown one by one */
const LONG_LIST = 2048;
/** how long the page may work on a text at a time, in ms */
const BUDGET = 10;
/** nested so deeply that only an attack is: `> > > > …` */
const DEEP = /^(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])[ \t]))(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])){23}/m;

interface Block {
  type: string;
  raw: string;
  /** absent where there is nothing to see */
  shown?: Element;
  /** of a heading: its depth in the text, and its level in the page */
  heading?: { depth: number; level: number };
}

/** What cannot be read as Markdown, as it was written. */
const plain = (raw: string): Token => ({ type: 'plain', raw });

function read(source: string, links: Links): Token[] {
  if (DEEP.test(source)) return [plain(source)];
  try {
    const tokens = tokensOf(source, links).flatMap(items);
    // what is shown must be what was written, or the places of the blocks are not known
    return tokens.map(({ raw }) => raw).join('') === source ? tokens : [plain(source)];
  } catch {
    return [plain(source)];
  }
}

/** A long list as one list for each item: while it grows, the items that are there stay. */
function items(token: Token): Token[] {
  if (token.type !== 'list' || token.raw.length < LONG_LIST) return [token];
  const list = token as Tokens.List;
  const split = list.items.map((item, i): Tokens.List & { part: true } => ({
    ...list,
    raw: item.raw,
    items: [item],
    part: true,
    start: list.start === '' ? '' : list.start + i,
  }));
  return split.map(({ raw }) => raw).join('') === list.raw ? split : [token];
}

function draw(tokens: Token[]): Element[] {
  if (!tokens.length) return [];
  try {
    if (tokens.every(({ type }) => type !== 'plain')) return blocksOf(tokens);
  } catch {
    // one of them cannot be drawn: that one stays as it was written
  }
  if (tokens.length > 1) return tokens.flatMap((token) => draw([token]));
  return [element('div', {}, element('p', { className: 'plain', dir: 'auto' }, tokens[0].raw))];
}

/** The code that is being written keeps its place, its selection and its button: only its text changes. */
const growingCode = (old: Block | undefined, token: Token | undefined): HTMLElement | undefined =>
  old?.type === 'code' && token?.type === 'code' && old.raw.split('\n', 1)[0] === token.raw.split('\n', 1)[0]
    ? (old.shown?.querySelector<HTMLElement>('pre > code') ?? undefined)
    : undefined;

/** White space at the end of a block goes to the one that follows as soon as there is one. */
const isSame = (block: Block, token: Token | undefined): boolean =>
  block.type === token?.type &&
  (block.raw === token.raw || (block.type !== 'code' && block.raw.trimEnd() === token.raw.trimEnd()));

const isSpace = ({ raw }: { raw: string }): boolean => raw.trim() === '';

/**
 * Reads and draws a short text while nothing waits for the page: a browser compiles all patterns with the first text,
 * which would hold up the page when the first words of a reply come.
 */
export function prepareMarkdown(): void {
  const prepare = (): void => void draw(read('# a\n\n- **b** `c` [d](https://example.org)\n', {}));
  // Safari has no requestIdleCallback
  if ('requestIdleCallback' in window) requestIdleCallback(prepare);
  else setTimeout(prepare, 1000);
}

export interface Markdown {
  /** @param ended nothing will be added */
  (source: string, ended?: boolean): void;
}

/** @param around does the change, and what must happen with it: the page follows the text */
export function createMarkdown(
  target: HTMLElement,
  around: (change: () => void) => void = (change) => change(),
): Markdown {
  let source = '';
  let ended = false;
  let limit = PART;
  /** the part that is shown and cannot change any more */
  let settled = '';
  let links: Links = {};
  let firstHeading: Block['heading'];
  let lastHeading: Block['heading'];
  /** the blocks after it */
  let open: Block[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let notBefore = 0;

  const more = moreButton(() => {
    limit += PART;
    work();
  });

  const reset = (): void => {
    settled = '';
    links = {};
    firstHeading = lastHeading = undefined;
    open = [];
    target.replaceChildren();
  };

  /** A heading never skips a level of the page: the message's own has the second. */
  const headingOf = (token: Token, above: Block[]): Block['heading'] => {
    if (token.type !== 'heading') return undefined;
    const { depth } = token as Heading;
    const headings = above.flatMap(({ heading }) => heading ?? []);
    const first = firstHeading ?? headings[0] ?? { depth };
    const last = headings.at(-1) ?? lastHeading;
    const level = Math.min(3 + Math.max(0, depth - first.depth), last ? last.level + 1 : 3, 6);
    (token as Heading).level = level;
    return { depth, level };
  };

  const settle = ({ shown, heading, raw }: Block): void => {
    settled += raw;
    firstHeading ??= heading;
    lastHeading = heading ?? lastHeading;
    if (shown) colourCode(shown, false);
  };

  /** Shows these blocks after the settled part, in place of those that were there. */
  const show = (tokens: Token[]): void => {
    let same = 0;
    for (; same < open.length && isSame(open[same], tokens[same]); same++) open[same].raw = tokens[same].raw;
    const before = open.splice(same);
    const growing = growingCode(before[0], tokens[same]);
    for (const { shown } of before) if (!growing || shown !== before[0].shown) shown?.remove();
    const changed = tokens.slice(same).map((token): { token: Token; block: Block } => {
      const heading = headingOf(token, open);
      const block: Block = { type: token.type, raw: token.raw, ...(heading && { heading }) };
      open.push(block);
      return { token, block };
    });
    const first = changed[0]?.block;
    if (growing && first) {
      growing.textContent = `${(tokens[same] as Tokens.Code).text.replace(/\n$/, '')}\n`;
      first.shown = before[0].shown;
    }
    const seen = changed.filter(({ token, block }) => !block.shown && !isSpace(token) && token.type !== 'def');
    for (const [i, made] of draw(seen.map(({ token }) => token)).entries()) {
      const { token, block } = seen[i];
      if ('part' in token) made.className = 'part';
      block.shown = made;
      if (more.button.isConnected) more.button.before(made);
      else target.append(made);
    }
    for (const { block } of changed) {
      if (!block.shown) continue;
      colourCode(block.shown, !ended);
      void drawMath(block.shown).catch(() => undefined); // without the library the source stays
    }
  };

  /** Shows the next piece. @returns whether all that may be seen is shown */
  const step = (visible: string): boolean => {
    for (let size = WINDOW; ; size *= 2) {
      const end = settled.length + size;
      const whole = end >= visible.length;
      let piece = visible.slice(settled.length, end);
      if (!whole) piece = piece.slice(0, piece.lastIndexOf('\n') + 1) || piece;
      const tokens = read(piece, links);
      if (tokens.length > open.length + 2 * BATCH) {
        // so many blocks follow that the first ones cannot change
        show(tokens.slice(0, BATCH));
        open.splice(0).forEach(settle);
        return false;
      }
      const solid = tokens.map((token, i) => (isSpace(token) ? -1 : i)).filter((i) => i >= 0);
      if (whole) {
        show(tokens);
        // of a growing text the last two blocks may still change
        const stay = ended && visible.length === source.length ? tokens.length : (solid.at(-2) ?? 0);
        open.splice(0, stay).forEach(settle);
        return true;
      }
      // the last block of the piece may be cut; white space cannot
      const sure = solid.at(-1) ?? tokens.length;
      const giant = sure === 0 && size >= GIANT;
      if (sure === 0 && !giant) continue;
      show(giant ? [plain(piece)] : tokens.slice(0, sure));
      open.splice(0).forEach(settle);
      return false;
    }
  };

  /** A message that is no longer in the page needs no more work. */
  const later = (ms: number): void => void (timer ??= setTimeout(() => target.isConnected && work(), ms));

  const work = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const start = performance.now();
    around(() => {
      const visible = source.slice(0, limit).replace(/\r\n?/g, '\n');
      if (!visible.startsWith(settled)) reset();
      const from = settled.length;
      let done = false;
      do done = step(visible);
      while (!done && (settled.length - from < AT_ONCE || performance.now() - start < BUDGET));
      const left = source.length - limit;
      if (left > 0 && done) {
        more.show(left);
        target.append(more.button);
      } else more.button.remove();
      if (!done) later(0);
    });
    // a quarter of the time at most
    const end = performance.now();
    notBefore = end + Math.min(3 * (end - start), 1000);
  };

  return (next, last = false) => {
    // an address that is defined at the end counts from the start
    if (last && !ended && Object.keys(links).length && next.length <= 2 * WINDOW) reset();
    source = next;
    ended = last;
    const wait = notBefore - performance.now();
    if (ended || wait <= 0) work();
    else later(wait);
  };
}
