/** What the reader may set, where it is kept, and what the page's address overrides (`?backend=wasm&model=…`). */
import { find } from './dom';

export interface Settings {
  system: string;
  backend: 'auto' | 'webgpu' | 'wasm';
  contextLength?: number;
  threads?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  maxTokens?: number;
}

/** Options of the page's address; they hold for this visit and are not kept. */
export interface Overrides {
  model?: string;
  /** another hub than huggingface.co */
  hub?: string;
  backend?: Settings['backend'];
  /** WebGPU on a software adapter, too: `software=1` */
  allowSoftware?: boolean;
  threads?: number;
  contextLength?: number;
}

export const DEFAULTS: Settings = { system: '', backend: 'auto', maxTokens: 512 };
export const SAMPLING = ['temperature', 'topK', 'topP', 'minP', 'repetitionPenalty', 'seed', 'maxTokens'] as const;
const NUMBERS = [...SAMPLING, 'contextLength', 'threads'] as const;
const BACKENDS = ['auto', 'webgpu', 'wasm'] as const;

const isBackend = (value: unknown): value is Settings['backend'] => BACKENDS.some((name) => name === value);

/** Anything may stand in storage or in an address: what is not understood is left out. */
export function readSettings(stored: unknown): Settings {
  const settings: Settings = { ...DEFAULTS };
  if (typeof stored !== 'object' || stored === null) return settings;
  const given = stored as Record<string, unknown>;
  if (typeof given.system === 'string') settings.system = given.system;
  if (isBackend(given.backend)) settings.backend = given.backend;
  delete settings.maxTokens;
  for (const name of NUMBERS) {
    const value = given[name];
    if (typeof value === 'number' && Number.isFinite(value)) settings[name] = value;
  }
  return settings;
}

export function readOverrides(query: string): Overrides {
  const given = new URLSearchParams(query);
  const overrides: Overrides = {};
  const whole = (name: string): number | undefined => (/^[1-9]\d{0,6}$/.test(given.get(name) ?? '') ? Number(given.get(name)) : undefined);
  const backend = given.get('backend');
  if (isBackend(backend)) overrides.backend = backend;
  if (given.get('software') === '1') overrides.allowSoftware = true;
  overrides.model = given.get('model') ?? undefined;
  overrides.hub = given.get('hub') ?? undefined;
  overrides.threads = whole('threads');
  overrides.contextLength = whole('context');
  return overrides;
}

/** The settings dialog. Empty fields show what the model's makers recommend. */
export function createSettingsDialog(current: () => { settings: Settings; recommended: Partial<Record<string, number>> }, onSave: (settings: Settings) => void): { open(): void } {
  const dialog = find('settings', HTMLDialogElement);
  const form = find('settings-form', HTMLFormElement);
  const field = (name: string): HTMLInputElement | HTMLTextAreaElement => {
    const input = form.elements.namedItem(name);
    if (input instanceof HTMLInputElement || input instanceof HTMLTextAreaElement) return input;
    throw new Error(`the settings form has no field ${name}`);
  };
  const fill = (settings: Settings): void => {
    field('system').value = settings.system;
    for (const name of NUMBERS) field(name).value = settings[name]?.toString() ?? '';
    for (const radio of form.querySelectorAll<HTMLInputElement>('input[name=backend]')) radio.checked = radio.value === settings.backend;
  };
  form.addEventListener('submit', () => {
    const data = new FormData(form);
    const given: Record<string, unknown> = { system: data.get('system'), backend: data.get('backend') };
    for (const name of NUMBERS) if (field(name).value !== '') given[name] = Number(field(name).value);
    onSave(readSettings(given));
  });
  find('settings-reset', HTMLButtonElement).addEventListener('click', () => fill(DEFAULTS));
  return {
    open() {
      const { settings, recommended } = current();
      fill(settings);
      for (const name of SAMPLING) field(name).placeholder = recommended[name]?.toString() ?? '';
      dialog.showModal();
    },
  };
}
