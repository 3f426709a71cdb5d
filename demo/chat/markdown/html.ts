/** Markdown tokens as safe elements of the page, with frames round code and tables. */
import type { Token } from 'marked';
import { frameTable } from '../../../src/element/frame_table';
import { createMarked, sanitize, type Heading } from '../../../src/element/safe_html';
import { icon } from '../icons';
import { frameCode } from './code';
import { MATH, MATH_BLOCK } from './math';

export type { Heading };

const marked = createMarked([MATH, MATH_BLOCK]);

export type Links = Record<string, { href: string; title?: string | null }>;

/** @param links the addresses that were defined above, to which new ones are added */
export function tokensOf(source: string, links: Links): Token[] {
  const lexer = new marked.Lexer(marked.defaults);
  Object.assign(lexer.tokens.links, links);
  const tokens = lexer.lex(source);
  Object.assign(links, tokens.links);
  return tokens;
}

/** A list item that begins with a box. */
function frameTask(box: Element): void {
  const done = box.classList.contains('done');
  box.setAttribute('role', 'img');
  box.setAttribute('aria-label', done ? 'done' : 'to do');
  if (done) box.append(icon('check'));
  box.closest('li')?.classList.add('task');
}

/** An element for each block. They are cleaned together, which costs little more than one. */
export function blocksOf(tokens: Token[]): Element[] {
  const made = sanitize(tokens.map((token) => `<div>${marked.parser([token])}</div>`).join(''));
  const blocks = [...made.children];
  if (blocks.length !== tokens.length)
    throw new Error(`Markdown became ${blocks.length} blocks, wanted ${tokens.length}.`);
  // each part takes the direction of its own text
  for (const block of blocks) for (const part of block.children) part.setAttribute('dir', 'auto');
  frameCode(made);
  made.querySelectorAll('table').forEach(frameTable);
  made.querySelectorAll('.task-box').forEach(frameTask);
  return blocks;
}
