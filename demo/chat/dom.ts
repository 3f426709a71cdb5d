/** The element of this id, of this kind; the page is broken without it. */
export function find<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} with the id ${id}`);
  return found;
}

/** A new element with properties and children; text is text, never markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Lets a screen reader say something. */
export function announce(text: string): void {
  const announcer = find('announcer', HTMLElement);
  // emptied first, so that the same text is announced again
  announcer.textContent = '';
  requestAnimationFrame(() => (announcer.textContent = text));
}
