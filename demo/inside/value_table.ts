/** The values as text: a line for each token with what is strongest in it, and on request all values of the token. */
import { element } from '../chat/dom';
import { figure, strongest, type Grid } from './grid';

const MOST_SHOWN = 6;

export function valueTable(grid: Grid): HTMLElement {
  const { rows, columns, values, rowNames, columnNames } = grid;
  const lines = Array.from({ length: rows }, (_, row) => {
    const found = strongest(grid, row, MOST_SHOWN).map(({ name, value }) => `${name} ${figure(value)}`);
    const all = element('details', {}, element('summary', { ariaLabel: `All values of token ${row}` }, 'all'));
    // written when it is opened: a table may have 60,000 values
    all.addEventListener('toggle', () => {
      if (!all.open || all.children.length > 1) return;
      const text = Array.from(
        { length: columns },
        (_, column) => `${columnNames?.[column] ?? column}: ${figure(values[row * columns + column])}`,
      ).join('\n');
      all.append(element('pre', {}, text));
    });
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, `${row} `, element('code', { dir: 'auto' }, rowNames[row])),
      element('td', {}, found.join(' · ') || '0'),
      element('td', {}, all),
    );
  });
  const head = element(
    'tr',
    {},
    ...['Token', columnNames ? 'looks at' : 'strongest channels', 'All values'].map((title) =>
      element('th', { scope: 'col' }, title),
    ),
  );
  return element('table', {}, element('thead', {}, head), element('tbody', {}, ...lines));
}
