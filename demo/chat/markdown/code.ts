/** Code in a reply: a head with the language and a button that copies, and colours for the languages that are known. */
import { element } from '../dom';
import { copyButton } from '../icons';
import { soon } from './soon';

/** What a fence may name, what `highlight.js` calls it, and what people call it. */
const LANGUAGES: Record<string, readonly [id: string, label: string]> = {
  bash: ['bash', 'Shell'], sh: ['bash', 'Shell'], shell: ['bash', 'Shell'], zsh: ['bash', 'Shell'],
  console: ['bash', 'Shell'],
  c: ['c', 'C'], h: ['c', 'C'], cpp: ['cpp', 'C++'], 'c++': ['cpp', 'C++'], cc: ['cpp', 'C++'], cs: ['csharp', 'C#'],
  csharp: ['csharp', 'C#'], 'c#': ['csharp', 'C#'],
  css: ['css', 'CSS'], diff: ['diff', 'Diff'], go: ['go', 'Go'], golang: ['go', 'Go'], html: ['xml', 'HTML'],
  xml: ['xml', 'XML'], svg: ['xml', 'SVG'],
  java: ['java', 'Java'], javascript: ['javascript', 'JavaScript'], js: ['javascript', 'JavaScript'],
  jsx: ['javascript', 'JSX'], mjs: ['javascript', 'JavaScript'],
  json: ['json', 'JSON'], jsonc: ['json', 'JSON'], kotlin: ['kotlin', 'Kotlin'], kt: ['kotlin', 'Kotlin'],
  markdown: ['markdown', 'Markdown'], md: ['markdown', 'Markdown'],
  php: ['php', 'PHP'], py: ['python', 'Python'], python: ['python', 'Python'], python3: ['python', 'Python'],
  rb: ['ruby', 'Ruby'], ruby: ['ruby', 'Ruby'],
  rs: ['rust', 'Rust'], rust: ['rust', 'Rust'], sql: ['sql', 'SQL'], swift: ['swift', 'Swift'],
  ts: ['typescript', 'TypeScript'], tsx: ['typescript', 'TSX'], typescript: ['typescript', 'TypeScript'],
  yaml: ['yaml', 'YAML'], yml: ['yaml', 'YAML'],
}; // prettier-ignore

/** A longer code stays without colours: they would hold up the page. */
const MOST = 20_000;
/** While code is written it is coloured again with each word, so the limit is lower. */
const MOST_LIVE = 8000;

const known = (name: string): readonly [id: string, label: string] | undefined =>
  Object.hasOwn(LANGUAGES, name) ? LANGUAGES[name] : undefined;
const languageOf = (code: Element): string => /(?:^| )language-(\S+)/.exec(code.className)?.[1].toLowerCase() ?? '';

/** Puts each `pre` under `root` into a figure. */
export function frameCode(root: ParentNode): void {
  for (const pre of root.querySelectorAll('pre')) {
    const code = pre.querySelector('code');
    if (!code) continue;
    const name = languageOf(code);
    const label = known(name)?.[1] ?? (name || 'Text');
    pre.tabIndex = 0; // wide code scrolls, which a keyboard can only do inside the focused element
    const figure = element('figure', { className: 'code' });
    figure.setAttribute('aria-label', `Code: ${label}`);
    pre.replaceWith(figure);
    figure.append(
      element(
        'figcaption',
        {},
        element('span', {}, label),
        copyButton('Copy this code', () => code.textContent ?? ''),
      ),
      pre,
    );
  }
}

type Highlight = typeof import('./highlight').highlight;
let highlight: Highlight | undefined;
let loading: Promise<void> | undefined;

/**
 * Colours the code under `root`, at once where the library is there already. @param live the code is still being
 * written
 */
export function colourCode(root: ParentNode, live: boolean): void {
  for (const code of root.querySelectorAll<HTMLElement>('pre > code')) {
    const language = known(languageOf(code))?.[0];
    if (!language) continue;
    const colour = (): void => {
      const text = code.textContent ?? '';
      const size = String(text.length);
      if (text.length > (live ? MOST_LIVE : MOST) || code.dataset.coloured === size) return;
      const coloured = highlight?.(text, language);
      if (!coloured) return;
      code.replaceChildren(coloured);
      code.dataset.coloured = size;
    };
    if (highlight) colour();
    else {
      loading ??= import('./highlight').then((module) => void (highlight = module.highlight));
      // without the library, say offline on a first visit, the code stays plain
      loading.then(
        () => soon(colour),
        () => (loading = undefined),
      );
    }
  }
}
