/** A growing Markdown text in an element. Blocks that did not change are left alone. */
import type { Token } from 'marked';
import { frameTable } from './frame_table';
import { createMarked, sanitize } from './safe_html';
import { mayParseHtml } from './trusted_types';

const marked = createMarked();

/** A longer text is shown as it was written: Markdown would hold up the page. */
const MOST = 100_000;
/** nested so deeply that only an attack is: `> > > > …` */
const DEEP = /^(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])){24}/m;

function read(text: string): Token[] | undefined {
  if (text.length > MOST || DEEP.test(text) || !mayParseHtml()) return undefined;
  try {
    return marked.lexer(text);
  } catch {
    return undefined;
  }
}

/** Shows a text in `target`, from the first block on that has changed. */
export function createReplyView(target: HTMLElement): (text: string) => void {
  let shown: { raw: string; block: HTMLElement }[] = [];
  return (text) => {
    const tokens = read(text);
    if (!tokens) {
      shown = [];
      target.classList.add('plain');
      target.textContent = text;
      return;
    }
    if (target.classList.contains('plain')) {
      target.classList.remove('plain');
      target.replaceChildren();
    }
    const same = shown.findIndex(({ raw }, i) => raw !== tokens[i]?.raw);
    const keep = same < 0 ? Math.min(shown.length, tokens.length) : same;
    for (const { block } of shown.splice(keep)) block.remove();
    for (const token of tokens.slice(keep)) {
      const block = document.createElement('div');
      block.dir = 'auto';
      block.append(sanitize(marked.parser([token])));
      // wide code scrolls, which a keyboard can only do inside the focused element
      for (const pre of block.querySelectorAll('pre')) pre.tabIndex = 0;
      block.querySelectorAll('table').forEach(frameTable);
      for (const box of block.querySelectorAll('.task-box'))
        Object.assign(box, { role: 'img', ariaLabel: box.classList.contains('done') ? 'done' : 'to do' });
      target.append(block);
      shown.push({ raw: token.raw, block });
    }
  };
}
