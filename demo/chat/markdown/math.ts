/** Formulas in Markdown: `$…$`, `$$…$$`, `\(…\)` and `\[…\]`. Amounts of money are left alone. */
import type { TokenizerAndRendererExtension } from 'marked';

const MOST = 4000;

/** `$…$` as Pandoc reads it: no space inside the marks, no letter or digit after the closing one. */
const DOLLARS = /^\$(?![\s$])((?:\\[^\n]|[^$\\\n])+?)(?<!\s)\$(?![\p{L}\p{N}$])/u;
const DOUBLE = /^\$\$((?:\\[\s\S]|[^$\\])+?)\$\$/;
const ROUND = new RegExp(String.raw`^\\\(([\s\S]{1,${MOST}}?)\\\)`);
const SQUARE = new RegExp(String.raw`^\\\[([\s\S]{1,${MOST}}?)\\\]`);
/** “5 and more”, “1,200.50 (about …”: an amount with words */
const MONEY = /^\d[\d.,]*\s*[kKmMbB]?n?\s+[("“]?\p{L}{2,}/u;

/** A formula at the start of a text. @param before the character before it */
export function mathAt(src: string, before = ''): { raw: string; tex: string; display: boolean } | undefined {
  const display = DOUBLE.exec(src) ?? SQUARE.exec(src);
  const found = display ?? ROUND.exec(src);
  if (found && found[0].length <= MOST && found[1].trim())
    return { raw: found[0], tex: found[1].trim(), display: found === display };
  const dollars = DOLLARS.exec(src);
  if (
    !dollars ||
    dollars[0].length > MOST ||
    /[\p{L}\p{N}\\$]$/u.test(before) ||
    (MONEY.test(dollars[1]) && !/[\\^_=]/.test(dollars[1]))
  )
    return undefined;
  return { raw: dollars[0], tex: dollars[1], display: false };
}

const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** The HTML is a place for the formula; what draws it is loaded when it is needed. */
export const MATH: TokenizerAndRendererExtension = {
  name: 'math',
  level: 'inline',
  start: (src) => {
    const at = src.search(/\$|\\[([]/);
    return at < 0 ? undefined : at;
  },
  tokenizer(src, tokens) {
    const found = mathAt(src, tokens.at(-1)?.raw.slice(-1));
    return found && { type: 'math', ...found };
  },
  renderer: ({ tex, display }) => `<code class="math-${display ? 'display' : 'inline'}">${escaped(String(tex))}</code>`,
};

/** A formula that stands alone may have lines of its own. */
export const MATH_BLOCK: TokenizerAndRendererExtension = {
  name: 'mathBlock',
  level: 'block',
  start: (src) => /\n {0,3}(?:\$\$|\\\[)/.exec(src)?.index,
  tokenizer(src) {
    const indent = /^ {0,3}/.exec(src)?.[0] ?? '';
    const found = mathAt(src.slice(indent.length));
    const rest = found?.display && /^[ \t]*(?:\n|$)/.exec(src.slice(indent.length + found.raw.length));
    return rest ? { type: 'mathBlock', raw: indent + found.raw + rest[0], tex: found.tex } : undefined;
  },
  renderer: ({ tex }) => `<p><code class="math-display">${escaped(String(tex))}</code></p>`,
};

/** Draws the formulas under `root`. Until the library is there, and where it fails, the source is shown. */
export async function drawMath(root: ParentNode): Promise<void> {
  const places = [...root.querySelectorAll<HTMLElement>('code[class^=math-]')];
  if (!places.length) return;
  const { formula } = await import('./draw_math');
  for (const place of places) {
    if (!place.isConnected && !root.contains(place)) continue;
    const drawn = formula(place.textContent ?? '', place.className === 'math-display');
    if (drawn) place.replaceWith(drawn);
    else place.className = 'tex-source';
  }
}
