/** The chat page: its parts, and how they are connected. It uses models only through the public API. */
import { listModels } from '../../src/index';
import { createChat, type Chat } from './chat';
import { areModelFiles } from './conversations/attach';
import { createConversations, createStorageLine } from './conversations/index';
import { createConversationStore } from './conversations/store';
import { announce, element, find } from './dom';
import { createErrorBox } from './error_box';
import { createFirstRun, offerOf } from './first_run';
import { keep, kept } from './history';
import { EMBEDDED } from './models/catalogue';
import { createModelSession } from './models/model_session';
import { choiceNamed, choiceOf, createPicker, type Choice } from './models/picker';
import { createAppSection } from './pwa/app_section';
import { siteConfig } from './pwa/config';
import { bindInstallButton } from './pwa/install';
import { takeLaunch } from './pwa/launch';
import { registerPwa } from './pwa/register';
import { createScreenLock } from './pwa/screen_lock';
import { refreshWithVersion } from './pwa/version';
import { createSettingsDialog, readOverrides, readSettings, type Settings } from './settings';
import { createToolRuns } from './tool_runs';
import { createShell } from './shell';
import { createTranscript } from './transcript';

// what another app shares is not an option of the page
const launch = takeLaunch();
const { overrides, notes: addressNotes } = readOverrides(location.search);
let settings = readSettings(kept('settings'));
createShell();

const errors = createErrorBox({ backend: () => session.placement().backend, useCpu, newChat: () => chat.newChat() });
const session = createModelSession({
  overrides,
  settings: () => settings,
  announce,
  changed: refresh,
  replacing() {
    chat.stop();
    errors.hide();
  },
  showError: errors.show,
});
const picker = createPicker((chosen) => void session.open(chosen), announce, session.placement);
const dialog = createSettingsDialog(() => ({ settings, recommended: session.recommended() }), changeSettings);
const tools = createToolRuns({
  turns: () => chat.turns(),
  off: () => settings.off ?? [],
  changed: (call) => chat.cardChanged(call),
  announce,
  openModels: picker.open,
  openSettings: dialog.open,
});
const store = createConversationStore({ onFailing: createStorageLine() });
const conversations = createConversations(store, () => chat);
/** the conversation of the last visit is shown */
let started = false;
const start = async (): Promise<void> => {
  await conversations.start().catch(() => announce('The conversations of the last visit cannot be read. The browser’s storage is blocked.'));
  started = true;
};
const starting = Promise.resolve().then(start);
const chat: Chat = createChat({
  session,
  settings: () => settings,
  tools,
  store,
  transcript: (messages) =>
    createTranscript(find('messages', HTMLOListElement), { actions: tools.actions, messages, offer: (reason) => offerOf(reason, tools.enabled(), picker.open) }),
  started: starting,
  changed: refresh,
  chooseModel: picker.open,
  useCpu,
});
const firstRun = createFirstRun(chat.ask, picker.open);
const busy = (): boolean => chat.replying || session.busy;
const pwa = registerPwa({ busy, drafting: () => find('prompt', HTMLTextAreaElement).value !== '', announce });
const screenLock = createScreenLock();

/** Shows what can be done now. */
function refresh(): void {
  chat.refresh();
  conversations.refresh();
  screenLock.set(busy());
  firstRun.show(started && chat.turns().length === 0, session.model !== undefined && !chat.replying);
}

function useCpu(): void {
  overrides.backend = undefined;
  settings = { ...settings, backend: 'wasm' };
  keep('settings', settings);
  void session.open(session.choice);
}

function changeSettings(changed: Settings): void {
  const reload = (['backend', 'contextLength', 'threads'] as const).some((name) => changed[name] !== settings[name]);
  settings = changed;
  keep('settings', settings);
  if (reload) void session.open(session.choice);
}

find('choose', HTMLButtonElement).addEventListener('click', picker.open);
find('error-choose', HTMLButtonElement).addEventListener('click', picker.open);
find('open-settings', HTMLButtonElement).addEventListener('click', dialog.open);
find('open-notes', HTMLButtonElement).addEventListener('click', tools.openNotes);
// during a move the reply is what can be cancelled
find('loading-cancel', HTMLButtonElement).addEventListener('click', () => (chat.replying ? chat.stop() : session.cancel()));

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
  if (areModelFiles(files)) return void session.open(choiceOf(files));
  void conversations.importFrom(files).then(chat.composer.attach);
});

find('address-notes', HTMLElement).append(...addressNotes.map((note) => element('p', {}, note)));
find('address-notes', HTMLElement).hidden = addressNotes.length === 0;
refresh();
bindInstallButton(find('install', HTMLButtonElement));
find('settings-tools', HTMLFieldSetElement).after(createAppSection(pwa));
void starting.then(() =>
  launch.handle({
    draft: (text) => chat.composer.putBack({ text, files: [] }),
    open: (files) => void session.open(choiceOf(files)),
  }),
);
void pwa.ready.then(first).then(session.open).then(refreshDemo);

/** A new version of the page may have another demo model. */
async function refreshDemo(): Promise<void> {
  const { choice, model } = session;
  if (choice.source !== EMBEDDED.source || !(await refreshWithVersion(EMBEDDED.source))) return;
  if (session.model === model && !busy()) await session.open(choice);
}

/** The model that was loaded last, if it is still stored here. A large model is downloaded only when the user asks for it. */
async function first(): Promise<Choice> {
  if (overrides.model) return choiceNamed(overrides.model);
  const last = kept('model');
  const [models, config] = await Promise.all([listModels().catch(() => []), siteConfig()]);
  return choiceNamed(models.find(({ id, complete }) => complete && id === last)?.id ?? config.model ?? EMBEDDED.source);
}
