/**
 * The presets under the system prompt in the settings: choose one, save the present text as one, rename and delete.
 * They are stored at once.
 */
import { element } from '../dom';
import { showToast } from '../toast';
import {
  addPreset,
  BUILT_IN,
  LONGEST_NAME,
  ownPresets,
  plainName,
  problemOf,
  removePreset,
  renamePreset,
  type Preset,
} from './presets';

/** of the entry for a text that is no preset */
const OWN_TEXT = '';
const NOT_STORED = 'This cannot be saved. The browser’s storage is full or blocked.';

export interface PresetBar {
  /** The field has another text, or the stored presets may be others. */
  refresh(): void;
}

export function createPresetBar(container: HTMLElement, field: HTMLTextAreaElement): PresetBar {
  const select = element('select', { id: 'preset' });
  const button = (label: string, act: () => void): HTMLButtonElement => {
    const made = element('button', { type: 'button' }, label);
    made.addEventListener('click', act);
    return made;
  };
  const save = button('Save as a preset', () => askName());
  const rename = button('Rename', () => askName(select.value));
  const remove = button('Delete', () => deleteChosen());
  const name = element('input', { id: 'preset-name', autocomplete: 'off', maxLength: LONGEST_NAME });
  const nameLabel = element('label', { htmlFor: name.id });
  const accept = button('', () => takeName());
  const cancel = button('Cancel', () => endNaming());
  const problem = element('p', { className: 'problem', role: 'status' });
  const naming = element(
    'div',
    { className: 'preset-naming', hidden: true },
    nameLabel,
    element('div', { className: 'row' }, name, accept, cancel),
  );
  container.append(
    element('label', { htmlFor: select.id }, 'Preset'),
    element('div', { className: 'row' }, select, save, rename, remove),
    naming,
    problem,
  );

  /** the text that is no preset: choosing a preset must not lose it */
  let ownText = '';
  /** the preset that gets another name */
  let renamed: string | undefined;

  const chosen = (): Preset | undefined => [...BUILT_IN, ...ownPresets()].find((preset) => preset.text === field.value);
  function refresh(): void {
    const own = ownPresets();
    const now = chosen();
    if (!now) ownText = field.value;
    else if (now.text === ownText) ownText = '';
    const option = ({ name: label }: Preset): HTMLOptionElement => element('option', { value: label }, label);
    const group = (label: string, presets: readonly Preset[]): HTMLOptGroupElement[] =>
      presets.length ? [element('optgroup', { label }, ...presets.map(option))] : [];
    select.replaceChildren(
      element('option', { value: OWN_TEXT }, ownText.trim() ? 'The text above' : 'None'),
      ...group('Presets', BUILT_IN),
      ...group('Your presets', own),
    );
    select.value = now?.name ?? OWN_TEXT;
    save.hidden = now !== undefined || field.value.trim() === '';
    rename.hidden = remove.hidden = !own.some((preset) => preset.name === now?.name);
  }

  select.addEventListener('change', () => {
    endNaming();
    field.value = [...BUILT_IN, ...ownPresets()].find((preset) => preset.name === select.value)?.text ?? ownText;
    refresh();
  });
  field.addEventListener('input', () => {
    endNaming();
    refresh();
  });

  function askName(former?: string): void {
    renamed = former;
    problem.textContent = '';
    nameLabel.textContent = former === undefined ? 'Name of the preset' : `New name of “${former}”`;
    accept.textContent = former === undefined ? 'Save the preset' : 'Save the name';
    name.value = former ?? '';
    naming.hidden = false;
    name.focus();
    name.select();
  }

  function endNaming(): void {
    problem.textContent = '';
    if (naming.hidden) return;
    const focused = naming.contains(document.activeElement);
    naming.hidden = true;
    if (focused) select.focus();
  }

  function takeName(): void {
    const wanted: Preset = { name: plainName(name.value), text: field.value };
    problem.textContent = problemOf(wanted, renamed) ?? '';
    if (problem.textContent) return name.focus();
    const stored = renamed === undefined ? addPreset(wanted) : renamePreset(renamed, wanted.name);
    if (!stored) return void (problem.textContent = NOT_STORED);
    endNaming();
    refresh();
  }

  function deleteChosen(): void {
    const preset = chosen();
    if (!preset) return;
    endNaming();
    if (!removePreset(preset.name)) return void (problem.textContent = NOT_STORED);
    refresh();
    select.focus();
    showToast(`The preset “${preset.name}” was deleted.`, {
      action() {
        if (!problemOf(preset)) addPreset(preset);
        refresh();
      },
    });
  }

  // the field stands in the form of the settings, which these keys must not send or close
  name.addEventListener('keydown', (event) => {
    if (event.isComposing || (event.key !== 'Enter' && event.key !== 'Escape')) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === 'Enter') takeName();
    else endNaming();
  });

  return {
    refresh() {
      endNaming();
      refresh();
    },
  };
}
