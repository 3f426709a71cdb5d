/**
 * Watches the chat page for what a hostile text must not do: nothing runs, nothing is fetched, and no element comes in
 * that acts.
 */
import type { BrowserContext, Page } from 'playwright';
import { beforeEach } from 'vitest';
import { testChat, type ChatTests } from './chat_page';

export interface WatchedChat extends ChatTests {
  /** what must not happen: requests to other hosts, dialogs, windows, downloads, errors */
  readonly happened: string[];
  /** Puts a value where the page finds it when it starts. */
  keep(name: string, value: unknown): Promise<unknown>;
}

/** The chat page for the tests of a file, and what happens in it. */
export function testWatchedChat(): WatchedChat {
  const chat = testChat({ viewport: { width: 1200, height: 700 } });
  let happened: string[];
  beforeEach(async () => {
    happened = await watch(chat.context, new URL(chat.site.url).origin);
  });
  return Object.defineProperties({} as WatchedChat, {
    ...Object.getOwnPropertyDescriptors(chat),
    happened: { get: () => happened },
    // a tab begins with about:blank, which has no storage
    keep: {
      value: (name: string, value: unknown) =>
        chat.context.addInitScript(
          ([key, text]) => location.protocol !== 'about:' && (localStorage[`rivulet-chat.${key}`] ??= text),
          [name, JSON.stringify(value)],
        ),
    },
  });
}

export async function watch(watched: BrowserContext, origin: string): Promise<string[]> {
  const events: string[] = [];
  const foreign = ({ protocol, origin: host }: URL): boolean => /^(?:https?|ftp):$/.test(protocol) && host !== origin;
  await watched.route(foreign, (route) => route.abort());
  watched.on('request', (request) => {
    const url = new URL(request.url());
    if (foreign(url) || /beacon/.test(url.pathname)) events.push(`request: ${url.href}`);
  });
  let pages = 0;
  watched.on('page', (page) => {
    if (pages++) events.push(`window: ${page.url()}`);
    page.on('dialog', (dialog) => {
      events.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('download', (download) => events.push(`download: ${download.url()}`));
    // the development server has one of its own
    page.on(
      'websocket',
      (socket) => new URL(socket.url()).hostname !== new URL(origin).hostname && events.push(`socket: ${socket.url()}`),
    );
    page.on('pageerror', (error) => events.push(`error: ${error.message}`));
  });
  await watched.addInitScript(() => {
    const seen: string[] = [];
    Object.assign(window, { violations: seen });
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      seen.push(`${violatedDirective} ${blockedURI}`),
    );
  });
  return events;
}

/** Long texts, colours and formulas come little by little. */
export const settled = (page: Page): Promise<unknown> =>
  page.evaluate(async () => {
    const size = (): number => document.querySelectorAll('body *').length;
    for (let before = -1, same = 0; same < 4; before = size()) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      same = size() === before ? same + 1 : 0;
    }
  });

/** What must not be in the page. It runs inside the page: nothing of this file is known there. */
function objectionable(): string[] {
  const found: string[] = [];
  const transcript = '#messages';
  const place = (element: Element): string => {
    const item = element.closest(`${transcript} > *`);
    return `${item ? `message ${[...item.parentElement!.children].indexOf(item)}` : 'page'}: ${element.outerHTML.slice(0, 120)}`;
  };
  const object = (element: Element, reason: string): unknown => found.push(`${reason} in ${place(element)}`);
  for (const element of document.querySelectorAll(
    'body :is(script, iframe, frame, frameset, object, embed, applet, base, meta, link, noscript, plaintext, xmp)',
  ))
    object(element, 'element');
  const never =
    'style, img, picture, source, track, video, audio, map, area, image, template, slot, dialog, form, select, textarea, marquee, foreignObject, animate, set, feImage';
  for (const element of document.querySelectorAll(`${transcript} :is(${never})`)) object(element, 'element');
  for (const element of document.querySelectorAll(`${transcript} input:not([type=checkbox][disabled])`))
    object(element, 'element');
  // icons are the page's own: they point to its sprite
  for (const element of document.querySelectorAll(`${transcript} svg:not(.icon), ${transcript} svg.icon > :not(use)`))
    object(element, 'element');
  for (const element of document.querySelectorAll(
    `${transcript} math :is(a, semantics annotation-xml, mglyph, maction, [href])`,
  ))
    object(element, 'element');
  for (const element of document.querySelectorAll(`${transcript} .body :is([id], [name], .call, .calls, .asking)`))
    object(element, 'name');
  for (const element of document.querySelectorAll('body *')) {
    const inside = element.closest(transcript) !== null;
    for (const { name, value } of element.attributes) {
      if (/^on/i.test(name)) object(element, `attribute ${name}`);
      if (name === 'style' && /url\(|fixed|expression|@import/i.test(value)) object(element, 'style');
      if (
        !inside ||
        !/^(?:href|src|srcset|action|formaction|poster|data|ping|background|xlink:href|cite|srcdoc|usemap|popovertarget|is)$/.test(
          name,
        )
      )
        continue;
      const allowed =
        element.localName === 'a'
          ? /^(?:https?:\/\/|mailto:)/.test(value)
          : element.localName === 'use' && value.startsWith('#');
      if (!allowed) object(element, `address ${name}`);
      if (element.localName !== 'a') continue;
      const rel = element.getAttribute('rel') ?? '';
      if (!/noopener/.test(rel) || !/noreferrer/.test(rel) || element.getAttribute('target') !== '_blank')
        object(element, 'link that knows its opener');
    }
  }
  const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
  for (const id of new Set(ids.filter((each, i) => ids.indexOf(each) !== i))) found.push(`the id ${id} twice`);
  if ('hit' in window) found.push('a script has run');
  if ('polluted' in {}) found.push('Object.prototype has been changed');
  const { violations = [] } = window as { violations?: string[] };
  found.push(...violations.map((violation) => `stopped by the policy alone: ${violation}`));
  return found;
}

export const objections = (page: Page): Promise<string[]> => page.evaluate(objectionable);
/**
 * The texts of the elements are these, to the last character. They are compared inside the page: on the way out, halves
 * of pairs would be lost.
 */
export const differences = (page: Page, selector: string, texts: readonly string[]): Promise<string[]> =>
  page.evaluate(
    ([select, wanted]) => {
      const shown = [...document.querySelectorAll(select)].map(({ textContent }) => textContent);
      const expected = JSON.parse(wanted) as string[];
      return shown.length === expected.length
        ? expected.filter((text, i) => text !== shown[i]).map((text) => JSON.stringify(text))
        : [`${shown.length} elements`];
    },
    [selector, JSON.stringify(texts)],
  );
