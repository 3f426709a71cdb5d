/** A wide table scrolls in a box, which a keyboard can reach. */
export function frameTable(table: HTMLTableElement): void {
  const box = Object.assign(document.createElement('div'), {
    className: 'table',
    tabIndex: 0,
    role: 'group',
    ariaLabel: 'Table',
  });
  table.replaceWith(box);
  box.append(table);
}
