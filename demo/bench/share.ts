/** Gives a result away: to the clipboard, or as a file. */
import { announce, element } from '../chat/dom';
import { button, problem, say } from './messages';
import type { BenchmarkResult } from './result';

export async function copy(what: string, text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    announce(`${what} was copied.`);
    flash(what === 'The link' ? 'copy-link' : 'copy-markdown', 'Copied');
  } catch {
    say('The browser does not allow this page to copy. Select the text and copy it.');
    const field = element('textarea', { value: text, readOnly: true, rows: 6, ariaLabel: what });
    problem.append(field);
    field.focus(); // the button may be far below
    field.select();
  }
}

function flash(id: string, word: string): void {
  const pressed = button(id);
  const usual = pressed.textContent;
  pressed.textContent = word;
  setTimeout(() => (pressed.textContent = usual), 1500);
}

export function save(blob: Blob, name: string): void {
  const link = element('a', { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export const fileName = (result: BenchmarkResult, suffix: string): string =>
  `rivulet-benchmark-${result.created.slice(0, 16).replaceAll(/[:T]/g, '-')}.${suffix}`;
