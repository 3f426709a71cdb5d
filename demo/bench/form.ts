/** The choices: presets, and what they stand for in detail. */
import { listModels } from '../../src/index';
import { bytes, count } from '../chat/format';
import { element, find } from '../chat/dom';
import { describeTooLarge, tooLarge, type MemoryFacts, type Sizes } from './fits';
import { DECODE, planRuns, PREFILL, PRESETS, type BackendChoice, type Preset, type Selection } from './plan';
import type { Device } from './result';
import { QUANTIZATIONS, SHAPE_LABELS } from './shapes';
import { roughly, stepsOf, TimeLeft } from './time_left';

type Group = 'shapes' | 'quantizations' | 'stored' | 'backends' | 'prefill' | 'decode';

export interface ChoicesForm {
  read(): Selection;
  /** the chosen file */
  file(): File | undefined;
  /** of stored models and of the chosen file */
  sizes(): Sizes;
  /** Shows the choices of a stored set. */
  write(selection: Selection): void;
}

/**
 * @param options `software`: a GPU that is emulated on the processor may be used, in tests. `seconds`: of the run
 * without a pause
 */
export function createForm(
  device: Device & MemoryFacts,
  { software, seconds }: { software: boolean; seconds: number },
): ChoicesForm {
  const form = find('choices', HTMLFormElement);
  const fileInput = find('file', HTMLInputElement);
  const hasGpu = device.gpu !== undefined && (software || !device.gpu.software);
  const boxes = (group: Group): HTMLInputElement[] => [
    ...form.querySelectorAll<HTMLInputElement>(`input[name=${group}]`),
  ];
  const checked = (group: Group): string[] =>
    boxes(group)
      .filter((box) => box.checked && !box.disabled)
      .map(({ value }) => value);
  const single = (name: string): HTMLInputElement => form.elements.namedItem(name) as HTMLInputElement;

  function fill(group: Group, entries: [value: string, label: string][]): void {
    const list = entries.map(([value, label]) =>
      element(
        'label',
        {},
        element('input', { type: 'checkbox', name: group, value }),
        element('span', { textContent: label }),
      ),
    );
    find(group, HTMLElement).replaceChildren(...list);
  }
  fill('shapes', Object.entries(SHAPE_LABELS));
  fill('quantizations', Object.keys(QUANTIZATIONS).map((name) => [name, name])); // prettier-ignore
  fill('backends', [['wasm', 'CPU'], ['webgpu', hasGpu ? 'GPU' : 'GPU: this browser offers none']]); // prettier-ignore
  fill('prefill', PREFILL.map((n) => [String(n), `${count(n)} tokens`])); // prettier-ignore
  fill('decode', DECODE.map((n) => [String(n), count(n)])); // prettier-ignore
  for (const box of boxes('backends')) {
    box.disabled = box.value === 'webgpu' && !hasGpu;
    box.checked = !box.disabled;
  }
  single('kernels').disabled = !hasGpu;
  const storedBytes = new Map<string, number>();
  void listStored();

  function sizes(): Sizes {
    const { name, size } = fileInput.files?.[0] ?? {};
    return new Map([...storedBytes, ...(name !== undefined && size !== undefined ? [[name, size] as const] : [])]);
  }

  async function listStored(): Promise<void> {
    // blocked storage has no models
    const models = (await listModels().catch(() => [])).filter(({ complete }) => complete);
    for (const { id, bytes: size } of models) storedBytes.set(id, size);
    if (models.length)
      fill(
        'stored',
        models.map(({ id, bytes: size }) => [id, `${id.slice(id.lastIndexOf('/') + 1)} (${bytes(size)})`]),
      );
    else
      find('stored', HTMLElement).replaceChildren(
        element('small', { textContent: 'This browser has no stored model. The chat page downloads them.' }),
      );
  }

  function write({
    shapes,
    quantizations,
    stored,
    backends,
    prefill,
    decode,
    classes,
    sustained,
    kernels,
    repetitions,
  }: Omit<Selection, 'backends'> & { backends?: BackendChoice[] }): void {
    const groups: [Group, (string | number)[] | undefined][] = [
      ['shapes', shapes],
      ['quantizations', quantizations],
      ['stored', stored],
      ['backends', backends],
      ['prefill', prefill],
      ['decode', decode],
    ];
    for (const [group, values] of groups)
      if (values) for (const box of boxes(group)) box.checked = values.map(String).includes(box.value) && !box.disabled;
    single('classes').checked = classes;
    single('sustained').checked = sustained;
    single('kernels').checked = kernels && hasGpu;
    single('repetitions').value = String(repetitions);
    tellPlan();
  }

  function read(): Selection {
    const numbers = (group: Group): number[] => checked(group).map(Number);
    return {
      shapes: checked('shapes'),
      quantizations: checked('quantizations'),
      stored: checked('stored'),
      ...(fileInput.files?.[0] && { file: fileInput.files[0].name }),
      backends: checked('backends') as BackendChoice[],
      prefill: numbers('prefill'),
      decode: numbers('decode'),
      classes: single('classes').checked,
      sustained: single('sustained').checked,
      kernels: single('kernels').checked && hasGpu,
      repetitions: Math.min(50, Math.max(1, Math.round(Number(single('repetitions').value)) || 3)),
    };
  }

  function tellPlan(): void {
    const selection = read();
    const left = new TimeLeft();
    const runs = planRuns(selection, seconds);
    const unfit = tooLarge(runs, sizes(), device);
    find('too-large', HTMLElement).textContent = describeTooLarge(unfit, sizes(), device);
    const total = runs.reduce((sum, run) => sum + left.of(run.backend, stepsOf(run, selection.repetitions)), 0);
    find('about-time', HTMLElement).textContent = runs.length
      ? `${runs.length} ${runs.length === 1 ? 'run' : 'runs'}, roughly ${roughly(total)}`
      : '';
  }

  form.addEventListener('change', ({ target }) => {
    const { name, value } = target as HTMLInputElement;
    if (name === 'preset') return write({ stored: [], ...PRESETS[value as Preset] });
    for (const preset of form.querySelectorAll<HTMLInputElement>('input[name=preset]')) preset.checked = false;
    tellPlan();
  });
  form.addEventListener('submit', (event) => event.preventDefault());
  write({ stored: [], ...PRESETS.standard });

  return {
    read,
    file: () => fileInput.files?.[0],
    sizes,
    write(selection) {
      for (const preset of form.querySelectorAll<HTMLInputElement>('input[name=preset]')) preset.checked = false;
      write(selection);
    },
  };
}
