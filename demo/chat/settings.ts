/** The settings of the page, and the options in its address that override them (`?backend=wasm&model=…`). */
import type { Appearance } from './appearance';
import { find } from './dom';
import { lazy } from './lazy';
import { ask } from './models/ask';
import type { PresetBar } from './presets/preset_bar';
import type { ToolRuns } from './tool_runs';
import { createToolSwitches } from './tool_switches';

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
  /** names of the tools that are switched off */
  off?: string[];
  /** calls of tools are held to what the tools take */
  holdCalls?: boolean;
}

/** Options of the page's address. They hold for this visit and are not stored. */
export interface Overrides {
  model?: string;
  /** a host other than huggingface.co */
  hub?: string;
  backend?: Settings['backend'];
  /** allows WebGPU on a software adapter: `software=1` */
  allowSoftware?: boolean;
  threads?: number;
  contextLength?: number;
}

export const DEFAULTS: Settings = { system: '', backend: 'auto', maxTokens: 512 };
export const SAMPLING = ['temperature', 'topK', 'topP', 'minP', 'repetitionPenalty', 'seed', 'maxTokens'] as const;
const NUMBERS = [...SAMPLING, 'contextLength', 'threads'] as const;
const BACKENDS = ['auto', 'webgpu', 'wasm'] as const;

const isBackend = (value: unknown): value is Settings['backend'] => BACKENDS.some((name) => name === value);
const isWhole = (text: string): boolean => /^[1-9]\d{0,6}$/.test(text);

/** Stored settings may be damaged: a value that is not valid is left out. */
export function readSettings(stored: unknown): Settings {
  const settings: Settings = { ...DEFAULTS };
  if (typeof stored !== 'object' || stored === null) return settings;
  const given = stored as Record<string, unknown>;
  if (typeof given.system === 'string') settings.system = given.system;
  if (isBackend(given.backend)) settings.backend = given.backend;
  if (Array.isArray(given.off)) {
    const off = given.off.filter((name): name is string => typeof name === 'string');
    if (off.length) settings.off = off;
  }
  if (given.holdCalls === true) settings.holdCalls = true;
  delete settings.maxTokens;
  for (const name of NUMBERS) {
    const value = given[name];
    if (typeof value === 'number' && Number.isFinite(value)) settings[name] = value;
  }
  return settings;
}

/** The options of an address and the values that each allows. */
const ALLOWED: Record<string, { allowed: string; valid(text: string): boolean }> = {
  model: { allowed: 'a Hugging Face model or the address of a file', valid: Boolean },
  hub: { allowed: 'the address of a host', valid: Boolean },
  backend: { allowed: BACKENDS.join(', '), valid: isBackend },
  software: { allowed: '1, 0', valid: (text) => /^[01]$/.test(text) },
  threads: { allowed: 'a whole number from 1', valid: isWhole },
  context: { allowed: 'a whole number from 1', valid: isWhole },
};
/** added to links by other sites */
const TRACKING = /^(utm_.*|.*clid|ref)$/;

/** @returns notes that say what was not understood, and what is allowed */
export function readOverrides(query: string): { overrides: Overrides; notes: string[] } {
  const given: Record<string, string> = {};
  const notes: string[] = [];
  for (const [name, text] of new URLSearchParams(query)) {
    const option = Object.hasOwn(ALLOWED, name) ? ALLOWED[name] : undefined;
    if (option?.valid(text)) given[name] = text;
    else if (option) notes.push(`“${name}=${text}” in the address is ignored. Allowed: ${option.allowed}.`);
    else if (!TRACKING.test(name))
      notes.push(`“${name}” in the address is not an option. Options: ${Object.keys(ALLOWED).join(', ')}.`);
  }
  const { model, hub, backend, software, threads, context } = given;
  const overrides: Overrides = {
    ...(model && { model }),
    ...(hub && { hub }),
    ...(isBackend(backend) && { backend }),
    ...(software === '1' && { allowSoftware: true }),
    ...(threads && { threads: Number(threads) }),
    ...(context && { contextLength: Number(context) }),
  };
  return { overrides, notes };
}

export interface SettingsNow {
  settings: Settings;
  /** what stands in fields that are left empty */
  recommended: Partial<Record<string, number>>;
  /** the model in use is the demo model */
  demo: boolean;
  look: ToolRuns['look'];
}

/**
 * The settings dialog. Empty fields show the values that hold then. A dialog that is left with changes asks what to do
 * with them.
 */
export function createSettingsDialog(
  current: () => SettingsNow,
  onSave: (settings: Settings) => void,
): { open(): void } {
  const dialog = find('settings', HTMLDialogElement);
  const form = find('settings-form', HTMLFormElement);
  const field = (name: string): HTMLInputElement | HTMLTextAreaElement => {
    const input = form.elements.namedItem(name);
    if (input instanceof HTMLInputElement || input instanceof HTMLTextAreaElement) return input;
    throw new Error(`the settings form has no field ${name}`);
  };
  const switches = createToolSwitches(find('settings-tools', HTMLFieldSetElement));
  let presets: PresetBar | undefined;
  const loadPresets = async (): Promise<void> => {
    const loaded = presets ? undefined : await lazy(() => import('./presets/preset_bar'));
    if (loaded) presets ??= loaded.createPresetBar(find('presets', HTMLElement), find('system', HTMLTextAreaElement));
    presets?.refresh();
  };
  let appearance: Appearance | undefined;
  const loadAppearance = async (): Promise<void> => {
    const loaded = appearance ? undefined : await lazy(() => import('./appearance'));
    if (loaded)
      appearance ??= loaded.createAppearance(find('settings-appearance', HTMLFieldSetElement), current().look);
    appearance?.refresh();
  };
  const fill = (settings: Settings): void => {
    switches.fill(settings.off ?? [], settings.holdCalls === true);
    field('system').value = settings.system;
    for (const name of NUMBERS) field(name).value = settings[name]?.toString() ?? '';
    for (const radio of form.querySelectorAll<HTMLInputElement>('input[name=backend]'))
      radio.checked = radio.value === settings.backend;
    presets?.refresh();
  };
  const read = (): Settings => {
    const data = new FormData(form);
    const given: Record<string, unknown> = {
      system: data.get('system'),
      backend: data.get('backend'),
      off: switches.off(),
      holdCalls: switches.hold(),
    };
    for (const name of NUMBERS) if (field(name).value !== '') given[name] = Number(field(name).value);
    return readSettings(given);
  };
  /** what the form held when it was filled */
  let before = '';
  form.addEventListener('submit', () => {
    before = JSON.stringify(read());
    onSave(read());
  });
  // Escape and × drop nothing silently; the form keeps its values while the question stands
  dialog.addEventListener('close', async () => {
    if (JSON.stringify(read()) === before) return;
    if (
      await ask({
        title: 'Save the changed settings?',
        body: ['The settings were closed with changes that are not saved.'],
        yes: 'Save',
        no: 'Discard',
      })
    ) {
      if (form.checkValidity()) form.dispatchEvent(new SubmitEvent('submit'));
      else {
        dialog.showModal();
        form.reportValidity();
      }
    }
  });
  find('settings-reset', HTMLButtonElement).addEventListener('click', () => fill(DEFAULTS));
  return {
    open() {
      const { settings, recommended, demo } = current();
      fill(settings);
      before = JSON.stringify(read());
      for (const name of [...SAMPLING, 'contextLength', 'threads'] as const)
        field(name).placeholder = recommended[name]?.toString() ?? '';
      field('seed').placeholder = 'random';
      field('maxTokens').placeholder ||= 'no limit';
      find('system-hint', HTMLElement).hidden = !demo;
      dialog.showModal();
      void loadPresets();
      void loadAppearance();
    },
  };
}
