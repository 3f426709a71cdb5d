/** The chat page: one model, one conversation. Everything it knows of models goes through the public API. */
import { listModels, load, type EstimateOptions, type Eviction, type Generation, type Message, type Model, type Progress } from '../../src/index';
import { EMBEDDED } from './catalogue';
import { element, find } from './dom';
import { bytes, duration, speed } from './format';
import { keep, kept, keptTurns, type Turn } from './history';
import { choiceNamed, choiceOf, createPicker, type Choice } from './picker';
import { createSettingsDialog, readOverrides, readSettings, SAMPLING, type Settings } from './settings';
import { createTranscript } from './transcript';

const overrides = readOverrides(location.search);
let settings = readSettings(kept('settings'));
const turns: Turn[] = keptTurns();
let choice = choiceNamed(EMBEDDED.source);
let model: Model | undefined;
let loading: AbortController | undefined;
let replying: AbortController | undefined;
/** the model is on its way to another device */
let moving = false;
/** of the reply under way */
let partial = '';

const announcer = find('announcer', HTMLElement);
const announce = (text: string): void => {
  // the same words twice are announced twice
  announcer.textContent = '';
  requestAnimationFrame(() => (announcer.textContent = text));
};
const transcript = createTranscript(find('messages', HTMLOListElement), announce);
const picker = createPicker((chosen) => void open(chosen), announce, placement);
const dialog = createSettingsDialog(() => ({ settings, recommended: model?.info.sampling ?? {} }), changeSettings);

const prompt = find('prompt', HTMLTextAreaElement);
const send = find('send', HTMLButtonElement);
const stop = find('stop', HTMLButtonElement);

/** Shows what can be done now. */
function refresh(): void {
  send.disabled = !model || replying !== undefined;
  send.hidden = replying !== undefined;
  stop.hidden = replying === undefined;
  find('loading', HTMLElement).hidden = loading === undefined && !moving;
  find('model-name', HTMLElement).textContent = choice.name;
}

// Loading

const PHASES: Record<Progress['phase'], string> = {
  resolve: 'Looking for',
  download: 'Downloading',
  read: 'Reading',
  load: 'Loading',
  compile: 'Preparing the kernels for',
  replay: 'Reading the conversation again with',
  ready: 'Ready:',
};

/** why it is done once more */
let told: string | undefined;

function showProgress({ phase, bytes: done, total, rate, eta, cause }: Progress): void {
  if (cause !== told && cause !== undefined) announce(`Setting ${choice.name} up again. ${cause}`);
  told = phase === 'ready' ? undefined : cause;
  find('loading-what', HTMLElement).textContent = `${PHASES[phase]} ${choice.name}`;
  const bar = find('loading-bar', HTMLProgressElement);
  if (total > 0) {
    bar.max = total;
    bar.value = done;
  } else bar.removeAttribute('value');
  find('loading-figures', HTMLElement).textContent = [
    total > 0 ? (phase === 'replay' ? `${done} of ${total} tokens` : `${bytes(done)} of ${bytes(total)}`) : '',
    rate > 0 && phase !== 'replay' ? `${bytes(rate)}/s` : '',
    eta !== undefined && eta >= 1 ? `${duration(eta)} left` : '',
  ]
    .filter(Boolean)
    .join(' · ');
}

/** The model's device was lost, or its memory was full, and it is set up once more: the reply waits for that. */
function showMove(progress: Progress): void {
  moving = progress.phase !== 'ready';
  showProgress(progress);
  if (!moving && model) {
    showAbout(model);
    announce('The model is ready again.');
  }
  refresh();
}

/** Where a model comes from and how it runs, as far as the reader has a say. */
function placement(): EstimateOptions {
  return {
    backend: overrides.backend ?? settings.backend,
    contextLength: overrides.contextLength ?? settings.contextLength,
    threads: overrides.threads ?? settings.threads,
    allowSoftware: overrides.allowSoftware,
    hub: overrides.hub,
  };
}

/** Nothing is deleted unasked. */
function makeRoom({ id, needed, free, victims }: Eviction): boolean {
  const going = victims.map((victim) => `${choiceNamed(victim.id).name} (${bytes(victim.bytes)}, last used ${victim.lastUsed.toLocaleDateString()})`).join(', ');
  const there = free === undefined ? '' : `, ${bytes(free)} are free`;
  return confirm(`To keep ${choiceNamed(id).name} on this device, ${bytes(needed)} are needed${there}. Delete ${going}?`);
}

/** Puts another model in the place of the present one. */
async function open(chosen: Choice): Promise<void> {
  replying?.abort();
  loading?.abort();
  const mine = new AbortController();
  loading = mine;
  choice = chosen;
  find('trouble', HTMLElement).hidden = true;
  find('about', HTMLDetailsElement).hidden = true;
  showProgress({ phase: 'resolve', bytes: 0, total: 0, rate: 0 });
  announce(`Loading ${chosen.name}.`);
  const former = model;
  model = undefined;
  moving = false;
  refresh();
  let opened: Model | undefined;
  try {
    await former?.unload();
    opened = await load(chosen.source, {
      ...placement(),
      makeRoom,
      signal: mine.signal,
      onProgress: (progress) => {
        if (loading === mine) showProgress(progress);
        else if (opened && model === opened) showMove(progress);
      },
    });
    if (loading !== mine) return void opened.unload();
    model = opened;
    if (typeof chosen.source === 'string') keep('model', opened.info.id);
    showAbout(opened);
    announce(`${chosen.name} is ready.`);
  } catch (error) {
    if (loading !== mine) return;
    showTrouble(error, () => void open(chosen));
  } finally {
    if (loading === mine) {
      loading = undefined;
      refresh();
    }
  }
}

function showAbout({ info }: Model): void {
  const { backend } = info;
  const NAMES = { webgpu: 'WebGPU', wasm: 'WASM', reference: 'the reference backend' };
  find('about-summary', HTMLElement).textContent = `Runs on ${NAMES[backend.name]}: ${backend.device}`;
  find('about-model', HTMLElement).textContent =
    `${info.name}, ${info.quantization}, ${bytes(info.bytes)}; context of ${info.contextLength} tokens; kernels: ${backend.variant}.` +
    (choice.source === EMBEDDED.source ? ` ${EMBEDDED.description}` : '');
  find('about-notes', HTMLUListElement).replaceChildren(...backend.notes.map((note) => element('li', {}, note)));
  find('about', HTMLDetailsElement).hidden = false;
}

// Trouble

const TITLES: Record<string, string> = {
  CheckpointError: 'This model file cannot be used',
  SourceError: 'The model cannot be reached',
  StorageError: 'The browser’s storage refuses',
  MemoryError: 'The model does not fit into memory',
  DeviceError: 'This device cannot run the model so',
  ContextError: 'The conversation is too long',
  RequestError: 'The settings cannot be honoured',
  AbortError: 'Cancelled',
};

function showTrouble(error: unknown, retry: () => void): void {
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
  find('trouble-title', HTMLElement).textContent = TITLES[name] ?? 'Something went wrong';
  find('trouble-text', HTMLElement).textContent = message;
  find('trouble-retry', HTMLButtonElement).onclick = () => {
    find('trouble', HTMLElement).hidden = true;
    retry();
  };
  find('trouble', HTMLElement).hidden = false;
  find('trouble', HTMLElement).scrollIntoView({ block: 'nearest' });
}

// Chatting

/** The line under a reply. */
function describe({ finish, tokens, tokensPerSecond, promptTokens, firstTokenMs }: Generation): string {
  const end = { stop: '', length: 'cut at the longest reply', abort: 'stopped' }[finish];
  const figures = tokens > 1 ? [`${tokens} tokens`, speed(tokensPerSecond), `first token after ${duration(firstTokenMs / 1000)} (${promptTokens} read)`] : [];
  return [...figures, end].filter(Boolean).join(' · ');
}

function messages(): Message[] {
  const system: Message[] = settings.system.trim() ? [{ role: 'system', content: settings.system }] : [];
  return [...system, ...turns.map(({ role, content }) => ({ role, content }))];
}

function remember(): void {
  if (!keep('turns', turns)) announce('The browser does not keep this conversation: its storage is full or closed.');
}

/** Answers the last turn, which is the reader's. */
async function answer(): Promise<void> {
  if (!model || replying) return;
  const mine = new AbortController();
  replying = mine;
  refresh();
  find('trouble', HTMLElement).hidden = true;
  const reply = transcript.reply();
  const asked = turns.length;
  let text = '';
  try {
    const sampling = Object.fromEntries(SAMPLING.map((name) => [name, settings[name]]).filter(([, value]) => value !== undefined));
    const stream = model.chat(messages(), { ...sampling, signal: mine.signal });
    try {
      for await (const piece of stream) {
        partial = text += piece;
        reply.write(text);
      }
    } catch (error) {
      if (!mine.signal.aborted) throw error;
    }
    const result = await stream.result;
    if (turns.length !== asked || (result.finish === 'abort' && !text)) return reply.remove();
    const turn: Turn = { role: 'assistant', content: text, note: describe(result) };
    turns.push(turn);
    reply.finish(turn);
    remember();
    announce(result.finish === 'abort' ? 'Stopped.' : `Rivulet: ${text}`);
  } catch (error) {
    reply.finish({ role: 'assistant', content: text, note: 'broken off' });
    showTrouble(error, () => {
      reply.remove();
      void answer();
    });
  } finally {
    replying = undefined;
    moving = false;
    partial = '';
    refresh();
  }
}

// a page that goes away in the middle of a reply keeps what there is
window.addEventListener('pagehide', () => {
  if (partial) keep('turns', [...turns, { role: 'assistant', content: partial, note: 'broken off' }]);
});

prompt.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  find('composer', HTMLFormElement).requestSubmit();
});

find('composer', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  const content = prompt.value.trim();
  if (!content || replying) return;
  if (!model) return announce(loading ? 'The model is still loading.' : 'Choose a model first.');
  prompt.value = '';
  const turn: Turn = { role: 'user', content };
  turns.push(turn);
  transcript.show(turn);
  remember();
  void answer();
});

const halt = (): void => {
  replying?.abort();
  prompt.focus();
};
stop.addEventListener('click', halt);
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && replying && !document.querySelector('dialog[open]')) halt();
});

find('new-chat', HTMLButtonElement).addEventListener('click', () => {
  replying?.abort();
  turns.length = 0;
  remember();
  transcript.clear();
  find('trouble', HTMLElement).hidden = true;
  announce('New chat.');
  prompt.focus();
});

// Choosing

find('choose', HTMLButtonElement).addEventListener('click', picker.open);
find('trouble-choose', HTMLButtonElement).addEventListener('click', picker.open);
find('open-settings', HTMLButtonElement).addEventListener('click', dialog.open);
find('loading-cancel', HTMLButtonElement).addEventListener('click', () => (loading ?? replying)?.abort());

function changeSettings(changed: Settings): void {
  const reload = (['backend', 'contextLength', 'threads'] as const).some((name) => changed[name] !== settings[name]);
  settings = changed;
  keep('settings', settings);
  if (reload) void open(choice);
}

document.addEventListener('dragover', (event) => {
  if (!event.dataTransfer?.types.includes('Files')) return;
  event.preventDefault();
  document.body.classList.add('dropping');
});
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('dropping');
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('dropping');
  const files = [...(event.dataTransfer?.files ?? [])];
  if (!files.length) return;
  document.querySelector<HTMLDialogElement>('dialog[open]')?.close();
  void open(choiceOf(files));
});

for (const turn of turns) transcript.show(turn);
refresh();
void first().then(open);

/** What was loaded last, if it is still on this device: nothing large is downloaded without being asked for. */
async function first(): Promise<Choice> {
  if (overrides.model) return choiceNamed(overrides.model);
  const last = kept('model');
  const models = await listModels().catch(() => []);
  return choiceNamed(models.find(({ id, complete }) => complete && id === last)?.id ?? EMBEDDED.source);
}
