/**
 * Markdown as safe HTML. Model output is hostile input: markup in it is shown as text, and what is left is sanitised.
 */
import DOMPurify from 'dompurify';
import { Marked, type MarkedExtension, type Tokens } from 'marked';
import { trustedPolicy } from './trusted_types';

const text = (plain: string): string => plain.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** A heading gets its level in the page from what stands above it, and its look from its depth in the text. */
export type Heading = Tokens.Heading & { level?: number };

/** GitHub's Markdown without HTML and images. */
export const createMarked = (extensions: MarkedExtension['extensions'] = []): Marked =>
  new Marked({
    gfm: true,
    breaks: true,
    extensions,
    renderer: {
      html: (token) =>
        token.type === 'html' && 'block' in token && token.block ? `<p>${text(token.text)}</p>` : text(token.text),
      // an image's address could carry the conversation to a server
      image: ({ text: label }) => text(label),
      checkbox: ({ checked }) => `<span class="task-box${checked ? ' done' : ''}"></span>`,
      heading({ tokens, depth, level = 6 }: Heading) {
        return `<h${level} class="depth-${depth}">${this.parser.parseInline(tokens)}</h${level}>`;
      },
    },
  });

/** The classes that the renderer above and the extensions set, and no others. */
const CLASS = /^(?:language-[^\s"'<>&]{1,40}|math-inline|math-display|task-box|task-box done|depth-[1-6])$/;

function createPurifier(): ReturnType<typeof DOMPurify> {
  const purifier = DOMPurify(window);
  purifier.addHook('uponSanitizeAttribute', (_, data) => {
    if (data.attrName === 'class' && !CLASS.test(data.attrValue)) data.keepAttr = false;
  });
  purifier.addHook('afterSanitizeAttributes', (node) => {
    if (node.nodeName !== 'A') return;
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer');
  });
  return purifier;
}

// made with the first text: the module is also imported where there is no page
let purifier: ReturnType<typeof DOMPurify> | undefined;

/** What may stay of HTML that `createMarked` made. */
export const sanitize = (html: string): DocumentFragment =>
  (purifier ??= createPurifier()).sanitize(html, {
    ALLOWED_TAGS: ['p', 'br', 'hr', 'em', 'strong', 'del', 'code', 'pre', 'blockquote', 'ul', 'ol', 'li', 'a',
      'span', 'div',
      'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'table', 'thead', 'tbody', 'tr', 'th', 'td'], // prettier-ignore
    ALLOWED_ATTR: ['href', 'start', 'align', 'class'],
    // no addresses: the pattern below is not for them
    ADD_URI_SAFE_ATTR: ['align', 'start'],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
    RETURN_DOM_FRAGMENT: true,
    TRUSTED_TYPES_POLICY: trustedPolicy(),
  });
