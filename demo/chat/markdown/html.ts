/** Markdown tokens as safe elements. Model output is hostile input: markup in it is shown as text, and what is left is sanitised. */
import DOMPurify from 'dompurify';
import { Marked, type Token, type Tokens } from 'marked';
import { element } from '../dom';
import { icon } from '../icons';
import { frameCode } from './code';
import { MATH, MATH_BLOCK } from './math';

const text = (plain: string): string => plain.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** A heading gets its level in the page from what stands above it, and its look from its depth in the text. */
export type Heading = Tokens.Heading & { level?: number };

const marked = new Marked({
  gfm: true,
  breaks: true,
  extensions: [MATH, MATH_BLOCK],
  renderer: {
    html: (token) => (token.type === 'html' && 'block' in token && token.block ? `<p>${text(token.text)}</p>` : text(token.text)),
    // an image's address could carry the conversation to a server
    image: ({ text: label }) => text(label),
    checkbox: ({ checked }) => `<span class="task-box${checked ? ' done' : ''}"></span>`,
    heading({ tokens, depth, level = 6 }: Heading) {
      return `<h${level} class="depth-${depth}">${this.parser.parseInline(tokens)}</h${level}>`;
    },
  },
});

export type Links = Record<string, { href: string; title?: string | null }>;

/** @param links the addresses that were defined above, to which new ones are added */
export function tokensOf(source: string, links: Links): Token[] {
  const lexer = new marked.Lexer(marked.defaults);
  Object.assign(lexer.tokens.links, links);
  const tokens = lexer.lex(source);
  Object.assign(links, tokens.links);
  return tokens;
}

/** The classes that the renderer above sets, and no others. */
const CLASS = /^(?:language-[^\s"'<>&]{1,40}|math-inline|math-display|task-box|task-box done|depth-[1-6])$/;

const purify = DOMPurify(window);
purify.addHook('uponSanitizeAttribute', (_, data) => {
  if (data.attrName === 'class' && !CLASS.test(data.attrValue)) data.keepAttr = false;
});
purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.nodeName !== 'A') return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer');
});

const clean = (html: string): DocumentFragment =>
  purify.sanitize(html, {
    ALLOWED_TAGS: ['p', 'br', 'hr', 'em', 'strong', 'del', 'code', 'pre', 'blockquote', 'ul', 'ol', 'li', 'a', 'span', 'div',
      'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'table', 'thead', 'tbody', 'tr', 'th', 'td'], // prettier-ignore
    ALLOWED_ATTR: ['href', 'start', 'align', 'class'],
    // no addresses: the pattern below is not for them
    ADD_URI_SAFE_ATTR: ['align', 'start'],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
    RETURN_DOM_FRAGMENT: true,
  });

/** A list item that begins with a box. */
function frameTask(box: Element): void {
  const done = box.classList.contains('done');
  box.setAttribute('role', 'img');
  box.setAttribute('aria-label', done ? 'done' : 'to do');
  if (done) box.append(icon('check'));
  box.closest('li')?.classList.add('task');
}

/** A wide table scrolls in a box, which a keyboard can reach. */
function frameTable(table: HTMLTableElement): void {
  const box = element('div', { className: 'table', tabIndex: 0, role: 'group', ariaLabel: 'Table' });
  table.replaceWith(box);
  box.append(table);
}

/** An element for each block. They are cleaned together, which costs little more than one. */
export function blocksOf(tokens: Token[]): Element[] {
  const made = clean(tokens.map((token) => `<div>${marked.parser([token])}</div>`).join(''));
  const blocks = [...made.children];
  if (blocks.length !== tokens.length) throw new Error(`Markdown became ${blocks.length} blocks, wanted ${tokens.length}.`);
  // each part takes the direction of its own text
  for (const block of blocks) for (const part of block.children) part.setAttribute('dir', 'auto');
  frameCode(made);
  made.querySelectorAll('table').forEach(frameTable);
  made.querySelectorAll('.task-box').forEach(frameTask);
  return blocks;
}
