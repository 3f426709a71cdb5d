/** The switches of the settings: one for each tool, and one for all. */
import { element } from './dom';
import { PAGE_TOOLS } from './tools/index';

const HOLD_HINT =
  'A model can then write no call of a tool that is not there, and no argument of the wrong type. The first reply begins a little later.';

export function createToolSwitches(fieldset: HTMLFieldSetElement): {
  fill(off: readonly string[], hold: boolean): void;
  off(): string[];
  /** calls are held to what the tools take */
  hold(): boolean;
} {
  const box = (label: string): { input: HTMLInputElement; line: HTMLLabelElement } => {
    const input = element('input', { type: 'checkbox' });
    return { input, line: element('label', {}, input, ` ${label}`) };
  };
  const all = box('All tools');
  const hold = box('Hold calls to what the tools take');
  hold.input.setAttribute('aria-describedby', 'hold-hint');
  const each = PAGE_TOOLS.map(({ definition, title }) => ({ name: definition.name, ...box(title) }));
  const showAll = (): void => {
    const on = each.filter(({ input }) => input.checked).length;
    all.input.checked = on === each.length;
    all.input.indeterminate = on > 0 && on < each.length;
  };
  all.input.addEventListener('change', () => {
    for (const { input } of each) input.checked = all.input.checked;
  });
  for (const { input } of each) input.addEventListener('change', showAll);
  for (const { name, input } of each) input.value = name;
  fieldset.append(
    element('div', { className: 'choice' }, all.line),
    element('div', { className: 'choice grid' }, ...each.map(({ line }) => line)),
    element('div', { className: 'choice' }, hold.line),
    element('p', { id: 'hold-hint' }, HOLD_HINT),
  );
  return {
    fill(off, held) {
      hold.input.checked = held;
      for (const { name, input } of each) input.checked = !off.includes(name);
      showAll();
    },
    off: () => each.filter(({ input }) => !input.checked).map(({ name }) => name),
    hold: () => hold.input.checked,
  };
}
