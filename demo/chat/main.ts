/** The chat page: one model, one conversation. It uses models only through the public API. */
import { listModels, load, type EstimateOptions, type EvictionRequest, type GenerationResult, type Message, type Model, type Progress } from '../../src/index';
import { EMBEDDED, EMBEDDED_SAMPLING } from './catalogue';
import { element, find } from './dom';
import { explain, explained, sentence, type Explanation } from './explain';
import { createFirstRun, offerOf } from './first_run';
import { bytes, count, duration, speed } from './format';
import { keep, kept, keptTurns, type Turn } from './history';
import { choiceNamed, choiceOf, createPicker, type Choice } from './picker';
import { createProgress } from './progress';
import { MOST_ROUNDS, replyWithTools, turnMessages } from './reply_loop';
import { createSettingsDialog, readOverrides, readSettings, SAMPLING, type Settings } from './settings';
import { createToolRuns } from './tool_runs';
import { prepareSound } from './tools/index';
import { createTranscript } from './transcript';

const { overrides, notes: addressNotes } = readOverrides(location.search);
let settings = readSettings(kept('settings'));
const turns: Turn[] = keptTurns();
let choice = choiceNamed(EMBEDDED.source);
let model: Model | undefined;
let loading: AbortController | undefined;
let replying: AbortController | undefined;
/** the model is being loaded again on another device */
let moving = false;
/** the reply that is being written */
let partial: Turn | undefined;

const announcer = find('announcer', HTMLElement);
const announce = (text: string): void => {
  // emptied first, so that the same text is announced again
  announcer.textContent = '';
  requestAnimationFrame(() => (announcer.textContent = text));
};
const picker = createPicker((chosen) => void open(chosen), announce, placement);
const dialog = createSettingsDialog(() => ({ settings, recommended: recommended() }), changeSettings);
const tools = createToolRuns({
  turns: () => [...turns, ...(partial ? [partial] : [])],
  off: () => settings.off ?? [],
  changed(call) {
    transcript.update(call);
    remember();
  },
  announce,
  openModels: picker.open,
  openSettings: dialog.open,
});
const transcript = createTranscript(find('messages', HTMLOListElement), {
  announce,
  actions: tools.actions,
  offer: (reason) => offerOf(reason, tools.enabled(), picker.open),
});
const firstRun = createFirstRun(ask, picker.open);

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
  firstRun.show(turns.length === 0, model !== undefined && replying === undefined);
}

/** The demo model of this page, also when it was opened as a file. */
const isDemo = ({ info }: Model): boolean => choice.source === EMBEDDED.source || info.name === EMBEDDED.name;
const recommended = (): Partial<Record<string, number>> => ({ ...model?.info.sampling, ...(model && isDemo(model) && EMBEDDED_SAMPLING) });

// Loading

const progressShown = createProgress(announce);
const showProgress = (progress: Progress): void => progressShown(choice.name, progress);

/** The GPU was lost or memory ran out, and the model is loaded again. The reply waits for it. */
function showMove(progress: Progress): void {
  moving = progress.phase !== 'ready';
  showProgress(progress);
  if (!moving && model) {
    showAbout(model);
    announce('The model is ready again.');
  }
  refresh();
}

/** The options of a load: from the address, else from the settings. */
function placement(): EstimateOptions {
  return {
    backend: overrides.backend ?? settings.backend,
    contextLength: overrides.contextLength ?? settings.contextLength,
    threads: overrides.threads ?? settings.threads,
    allowSoftware: overrides.allowSoftware,
    hub: overrides.hub,
  };
}

/** Asks before anything is deleted. */
function makeRoom({ id, needed, free, victims }: EvictionRequest): boolean {
  const names = victims.map((victim) => `${choiceNamed(victim.id).name} (${bytes(victim.bytes)}, last used ${victim.lastUsed.toLocaleDateString()})`).join(', ');
  const room = free === undefined ? '' : `, and ${bytes(free)} is free`;
  return confirm(`Storing ${choiceNamed(id).name} on this device needs ${bytes(needed)}${room}. Delete ${names} to make room?`);
}

/** Replaces the loaded model. */
async function open(chosen: Choice): Promise<void> {
  replying?.abort();
  loading?.abort();
  const mine = new AbortController();
  loading = mine;
  choice = chosen;
  find('error', HTMLElement).hidden = true;
  find('about', HTMLDetailsElement).hidden = true;
  showProgress({ phase: 'resolve', bytes: 0, total: 0, rate: 0 });
  announce(`Loading ${chosen.name}.`);
  let total = 0;
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
        if (progress.phase === 'download') total = progress.total;
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
    showError(error, () => void open(chosen), await cancelledDownload(error, total));
  } finally {
    if (loading === mine) {
      loading = undefined;
      refresh();
    }
  }
}

function showAbout({ info }: Model): void {
  const { backend } = info;
  const where = {
    webgpu: `with WebGPU: ${backend.device}`,
    wasm: `on the CPU, ${backend.threads === 1 ? '1 thread' : `${backend.threads} threads`}`,
    reference: 'on the reference backend',
  }[backend.name];
  const model = `${info.name}: ${info.quantization}, ${bytes(info.bytes)}, context of ${count(info.contextLength)} tokens`;
  const technical = `Backend: ${{ webgpu: 'WebGPU', wasm: 'WASM', reference: 'reference' }[backend.name]}, ${backend.device}. Kernels: ${backend.variant}.`;
  find('about-summary', HTMLElement).textContent = `Running ${where}`;
  find('about-model', HTMLElement).textContent = [...(choice.source === EMBEDDED.source ? [EMBEDDED.description] : []), `${model}.`, technical].join(' ');
  find('about-notes', HTMLUListElement).replaceChildren(...backend.notes.map((note) => element('li', {}, sentence(note))));
  find('about', HTMLDetailsElement).hidden = false;
}

// Errors

/** What a cancelled download leaves behind, where it is known. */
async function cancelledDownload(error: unknown, total: number): Promise<Explanation | undefined> {
  if (!(error instanceof Error && error.name === 'AbortError') || total === 0) return undefined;
  const models = await listModels().catch(() => []);
  const part = models.find((stored) => !stored.complete && stored.bytes === total);
  return part && { title: 'Download cancelled', text: `${bytes(part.there)} of ${bytes(total)} are kept. The download continues from there.` };
}

/** @param retry does again what has failed */
function showError(error: unknown, retry: () => void, download?: Explanation): void {
  const name = error instanceof Error ? error.name : '';
  const { backend = 'auto' } = placement();
  const explanation = download ?? explain(error, backend);
  const section = find('error', HTMLElement);
  const button = (id: string, shown: boolean, act: () => void): HTMLButtonElement => {
    const found = find(id, HTMLButtonElement);
    found.hidden = !shown;
    found.onclick = () => {
      section.hidden = true;
      act();
    };
    return found;
  };
  find('error-title', HTMLElement).textContent = explanation.title;
  find('error-text', HTMLElement).replaceChildren(...explained(explanation));
  button('error-retry', name !== 'ContextError', retry).textContent = download ? 'Resume' : 'Try again';
  button('error-cpu', name === 'DeviceError' && backend === 'webgpu', useCpu);
  button('error-new-chat', name === 'ContextError', newChat);
  const calm = name === 'AbortError';
  section.role = calm ? 'status' : 'alert';
  section.classList.toggle('calm', calm);
  section.hidden = false;
  section.scrollIntoView({ block: 'nearest' });
}

function useCpu(): void {
  overrides.backend = undefined;
  settings = { ...settings, backend: 'wasm' };
  keep('settings', settings);
  void open(choice);
}

// Chatting

/** The line under a reply. */
function describe({ finish, tokens, tokensPerSecond, firstTokenMs }: GenerationResult): string {
  const end = { stop: '', length: 'stopped at the length limit', abort: 'stopped' }[finish];
  const figures = tokens > 1 ? [`${count(tokens)} tokens`, speed(tokensPerSecond), `${duration(firstTokenMs / 1000)} to first token`] : [];
  return [...figures, end].filter(Boolean).join(' · ');
}

function messages(demo: boolean): Message[] {
  const system: Message[] = settings.system.trim() ? [{ role: 'system', content: settings.system }] : [];
  return [...system, ...turns.flatMap((turn) => turnMessages(turn, demo))];
}

function remember(): void {
  if (!keep('turns', turns)) announce('This conversation cannot be saved. The browser’s storage is full or blocked.');
}

/** Answers the last turn: the user's, or a reply that was interrupted after its tools ran. */
async function answer(): Promise<void> {
  if (!model || replying) return;
  const asked = model;
  const demo = isDemo(asked);
  const mine = new AbortController();
  replying = mine;
  refresh();
  find('error', HTMLElement).hidden = true;
  const reply = transcript.reply();
  const before = turns.length;
  const definitions = tools.enabled().map(({ definition }) => definition);
  const userText = turns.filter(({ role }) => role === 'user').map(({ content }) => content).join('\n');
  try {
    const own = Object.fromEntries(SAMPLING.map((name) => [name, settings[name]]).filter(([, value]) => value !== undefined));
    const sampling = { ...(demo && EMBEDDED_SAMPLING), ...own };
    const { reply: turn, result, ended } = await replyWithTools(messages(demo), {
      demo,
      signal: mine.signal,
      async generate(given, onText) {
        const stream = asked.chat(given, { ...sampling, ...(definitions.length && { tools: definitions }), signal: mine.signal });
        let text = '';
        try {
          for await (const piece of stream) onText((text += piece));
        } catch (error) {
          if (!mine.signal.aborted) throw error;
        }
        return { text, result: await stream.result };
      },
      run: (call) => tools.run(call, reply.cards, mine.signal, demo ? userText : undefined),
      onChange(turn) {
        partial = turn;
        reply.write(turn);
      },
    });
    const empty = !turn.content && !turn.steps;
    if (turns.length !== before || (result.finish === 'abort' && empty)) return reply.remove();
    // a larger model is offered once in a conversation
    if (turn.offer === 'unanswered' && turns.some(({ offer }) => offer === 'unanswered')) delete turn.offer;
    turn.note = describe(result) + (ended ? ` · stopped after ${MOST_ROUNDS} rounds of tools` : '');
    turns.push(turn);
    reply.finish(turn);
    remember();
    const said = [...(turn.steps ?? []).flatMap(({ calls }) => calls.map(({ title, summary }) => `${title}: ${summary}`)), turn.content];
    announce(result.finish === 'abort' ? 'Stopped.' : `Rivulet: ${said.join(' ')}`);
  } catch (error) {
    const turn: Turn | undefined = partial && { ...partial, note: 'interrupted' };
    if (turn && (turn.content || turn.steps)) reply.finish(turn);
    else reply.remove();
    // what tools have done must not be done again
    const acted = turn?.steps !== undefined && turns.length === before;
    if (acted) {
      turns.push(turn);
      remember();
    }
    showError(error, () => {
      if (!acted) reply.remove();
      void answer();
    });
  } finally {
    replying = undefined;
    moving = false;
    partial = undefined;
    refresh();
  }
}

// keeps the text so far when the page closes in the middle of a reply
window.addEventListener('pagehide', () => {
  if (partial) keep('turns', [...turns, { ...partial, note: 'interrupted' }]);
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
  prepareSound();
  const turn: Turn = { role: 'user', content };
  turns.push(turn);
  transcript.show(turn);
  remember();
  void answer();
});

/** An example of the first run is sent as if it had been typed. */
function ask(request: string): void {
  prompt.value = request;
  prompt.focus();
  find('composer', HTMLFormElement).requestSubmit();
}

const halt = (): void => {
  replying?.abort();
  prompt.focus();
};
stop.addEventListener('click', halt);
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && replying && !document.querySelector('dialog[open]')) halt();
});

function newChat(): void {
  replying?.abort();
  turns.length = 0;
  remember();
  transcript.clear();
  find('error', HTMLElement).hidden = true;
  announce('New chat.');
  refresh();
  prompt.focus();
}
find('new-chat', HTMLButtonElement).addEventListener('click', newChat);

// Choosing

find('choose', HTMLButtonElement).addEventListener('click', picker.open);
find('error-choose', HTMLButtonElement).addEventListener('click', picker.open);
find('open-settings', HTMLButtonElement).addEventListener('click', dialog.open);
find('open-notes', HTMLButtonElement).addEventListener('click', tools.openNotes);
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

find('address-notes', HTMLElement).append(...addressNotes.map((note) => element('p', {}, note)));
find('address-notes', HTMLElement).hidden = addressNotes.length === 0;
for (const turn of turns) transcript.show(turn);
refresh();
void tools.resume().catch(() => announce('The timers of the last visit cannot be read. The browser’s storage is blocked.'));
void first().then(open);

/** The model that was loaded last, if it is still stored here. A large model is downloaded only when the user asks for it. */
async function first(): Promise<Choice> {
  if (overrides.model) return choiceNamed(overrides.model);
  const last = kept('model');
  const models = await listModels().catch(() => []);
  return choiceNamed(models.find(({ id, complete }) => complete && id === last)?.id ?? EMBEDDED.source);
}
