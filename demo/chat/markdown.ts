/** A reply as Markdown. Model output is hostile input: markup in it is shown as text, and what is left is sanitised. */
import DOMPurify from 'dompurify';
import { Marked, type Token } from 'marked';

const text = (plain: string): string => plain.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text: markup }) => text(markup),
    // an image's address could carry the conversation to a server
    image: ({ text: label }) => text(label),
    checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
  },
});

const purify = DOMPurify(window);
purify.addHook('afterSanitizeAttributes', (node) => {
  // wide code scrolls, which a keyboard can only do inside the focused element
  if (node.nodeName === 'PRE') node.setAttribute('tabindex', '0');
  if (node.nodeName !== 'A') return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer');
});

const clean = (html: string): DocumentFragment =>
  purify.sanitize(html, {
    ALLOWED_TAGS: ['p', 'br', 'hr', 'em', 'strong', 'del', 'code', 'pre', 'blockquote', 'ul', 'ol', 'li', 'a',
      'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'table', 'thead', 'tbody', 'tr', 'th', 'td'], // prettier-ignore
    ALLOWED_ATTR: ['href', 'start', 'align'],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
    RETURN_DOM_FRAGMENT: true,
  });

/** Shows a growing text in `target`. Blocks that did not change since the last call are left alone, so a long reply stays cheap. */
export function createMarkdown(target: HTMLElement): (source: string) => void {
  let shown: string[] = [];
  return (source) => {
    const blocks: Token[] = marked.lexer(source);
    let same = 0;
    while (same < shown.length && shown[same] === blocks[same]?.raw) same++;
    while (target.children.length > same) target.lastElementChild?.remove();
    for (const block of blocks.slice(same)) {
      const part = document.createElement('div');
      part.append(clean(marked.parser([block])));
      target.append(part);
    }
    shown = blocks.map((block) => block.raw);
  };
}
