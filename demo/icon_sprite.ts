/** Puts the icons of the page into its HTML at build time: they are there at the first paint, and `<use href="#icon-…">` shows them. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Plugin } from 'vite';
import { ICON_NAMES } from './chat/icon_names.ts';

const require = createRequire(import.meta.url);

/** @param name of an icon of Lucide */
function symbol(name: string): string {
  const svg = readFileSync(require.resolve(`lucide-static/icons/${name}.svg`), 'utf8');
  const shapes = /<svg[^>]*>([\s\S]*)<\/svg>/.exec(svg)?.[1].replace(/\s+/g, ' ').replaceAll('> <', '><').trim();
  if (!shapes) throw new Error(`the icon ${name} is not an SVG: got ${svg.slice(0, 80)}`);
  return `<symbol id="icon-${name}" viewBox="0 0 24 24">${shapes}</symbol>`;
}

export function iconSprite(page: string): Plugin {
  return {
    name: 'rivulet-icons',
    transformIndexHtml: (html, { filename }) =>
      filename.endsWith(`/${page}`) ? [{ tag: 'svg', attrs: { hidden: true, 'aria-hidden': 'true' }, children: ICON_NAMES.map(symbol).join(''), injectTo: 'body-prepend' }] : html,
  };
}
