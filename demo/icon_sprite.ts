/**
 * Puts the icons of the page into its HTML at build time: they are there at the first paint, and `<use href="#icon-…">`
 * shows them.
 */
import { createRequire } from 'node:module';
import type { Plugin } from 'vite';
import { ICON_NAMES } from './chat/icon_names.ts';

interface IconSet {
  icons: Record<string, { body: string }>;
  /** other names of icons */
  aliases: Record<string, { parent: string }>;
}

/** Lines, which the style sheet sets as well: it could not change them on the shapes themselves. */
const LINES = / (?:fill="none"|stroke="currentColor"|stroke-linecap="round"|stroke-linejoin="round"|stroke-width="2")/g;

function symbol(name: string, { icons, aliases }: IconSet): string {
  const icon = icons[name] ?? icons[aliases[name]?.parent];
  if (!icon) throw new Error(`Lucide has no icon ${name}. Take a name of https://lucide.dev/icons.`);
  return `<symbol id="icon-${name}" viewBox="0 0 24 24">${icon.body.replace(LINES, '')}</symbol>`;
}

export function iconSprite(page: string): Plugin {
  return {
    name: 'rivulet-icons',
    transformIndexHtml(html, { filename }) {
      if (!filename.endsWith(`/${page}`)) return html;
      const set = createRequire(import.meta.url)('@iconify-json/lucide/icons.json') as IconSet;
      return [
        {
          tag: 'svg',
          attrs: { hidden: true },
          children: ICON_NAMES.map((name) => symbol(name, set)).join(''),
          injectTo: 'body-prepend',
        },
      ];
    },
  };
}
