/** The chat page: its parts, and how they are connected. It uses models only through the public API. */
import { createChat, type Chat } from './chat';
import { createConversations, createStorageLine } from './conversations/index';
import { createConversationStore } from './conversations/store';
import { leaveWithOthers } from './delete_all/leave';
import { announce, element, find } from './dom';
import { createErrorBox } from './error_box';
import { createFirstRun, offerOf } from './first_run';
import { remember as rememberError } from './explain';
import { figuresShown, showFigures } from './figures';
import { keep, kept } from './history';
import { lazy } from './lazy';
import { EMBEDDED, setFirstModel } from './models/catalogue';
import { learnFromReply } from './models/device';
import { prepareMarkdown } from './markdown/markdown';
import { createDownloadLines } from './models/download_lines';
import { createModelLibrary } from './models/library';
import { createModelSession } from './models/model_session';
import { createModelOffers } from './models/offer';
import { createPicker } from './models/picker';
import { askToMakeRoom } from './models/questions';
import { createReplyMeter } from './models/reply_meter';
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
showFigures(figuresShown());
leaveWithOthers();

const errors = createErrorBox({ backend: () => session.placement().backend, useCpu, newChat: () => chat.newChat() });
const meter = createReplyMeter({
  show: (text) => void (find('live-figures', HTMLElement).textContent = text),
  ended: (model, { tokens, tokensPerSecond }) => learnFromReply(model, tokens, tokensPerSecond),
});
const session = createModelSession({
  overrides,
  settings: () => settings,
  meter,
  makeRoom: askToMakeRoom,
  announce,
  changed: refresh,
  replying: () => chat.replying,
  opening: () => errors.hide(),
  replacing: () => chat.stop(),
  showError: (...given) => errors.show(...given),
});
const library = createModelLibrary({
  session,
  overrides,
  announce,
  showProblem: (problem) => void (picker.showProblem(problem) || errors.tell(problem)),
  attach: (files) => void conversations.importFrom(files).then(chat.composer.attach),
});
const picker = createPicker({ session, library, announce });
const offer = createModelOffers(library, picker.open);
createDownloadLines(library);
const dialog = createSettingsDialog(
  () => ({ settings, recommended: session.recommended(), demo: session.isDemo(), look: tools.look }),
  changeSettings,
);
const tools = createToolRuns({
  turns: () => chat.turns(),
  transcript: () => chat.transcript,
  off: () => settings.off ?? [],
  changed: (call) => chat.cardChanged(call),
  announce,
  openModels: picker.open,
  openSettings: dialog.open,
});
const store = createConversationStore({ onFailing: createStorageLine() });
const conversations = createConversations(store, () => chat);
store.onChange(({ deleted }) => void (deleted && session.forget()));
/** the conversation of the last visit is shown */
let started = false;
const start = async (): Promise<void> => {
  await conversations
    .start()
    .catch(() => announce('The conversations of the last visit cannot be read. The browser’s storage is blocked.'));
  started = true;
};
const starting = Promise.resolve().then(start);
const chat: Chat = createChat({
  session,
  settings: () => settings,
  tools,
  store,
  transcript: (messages) =>
    createTranscript(find('messages', HTMLOListElement), {
      actions: tools.actions,
      messages,
      offer: (reason) => offerOf(reason, tools.enabled(), offer),
    }),
  started: starting,
  changed: refresh,
  chooseModel: picker.open,
  useCpu,
});
const firstRun = createFirstRun(chat.ask, offer);
const busy = (): boolean =>
  chat.replying ||
  session.busy ||
  session.next !== undefined ||
  library.downloads.list().some(({ state }) => state === 'running');
const pwa = registerPwa({ busy, drafting: () => find('prompt', HTMLTextAreaElement).value !== '', announce });
const screenLock = createScreenLock();

/** Shows what can be done now. */
function refresh(): void {
  chat.refresh();
  conversations.refresh();
  screenLock.set(busy());
  firstRun.show(
    started && chat.turns().length === 0,
    session.model !== undefined && !chat.replying,
    session.model === undefined || session.isDemo() ? undefined : session.choice.name,
  );
  library.changed();
}

function useCpu(): void {
  overrides.backend = undefined;
  settings = { ...settings, backend: 'wasm' };
  keep('settings', settings);
  void session.open(session.choice);
}

function changeSettings(changed: Settings): void {
  const reload =
    (['backend', 'contextLength', 'threads'] as const).some((name) => changed[name] !== settings[name]) ||
    (changed.holdCalls && !session.constrained);
  settings = changed;
  keep('settings', settings);
  if (reload) void session.open(session.choice);
}

find('choose', HTMLButtonElement).addEventListener('click', picker.open);
find('error-choose', HTMLButtonElement).addEventListener('click', picker.open);
find('open-settings', HTMLButtonElement).addEventListener('click', dialog.open);
find('open-notes', HTMLButtonElement).addEventListener('click', tools.openNotes);
let support: { open(): Promise<void> } | undefined;
find('open-support', HTMLButtonElement).addEventListener('click', async () => {
  support ??= (await lazy(() => import('./models/support_dialog')))?.createSupportDialog({
    model: () => session.model,
    settings: () => settings,
    replies: meter.last,
    announce,
  });
  await support?.open();
});
find('delete-all', HTMLButtonElement).addEventListener('click', async () =>
  (await lazy(() => import('./delete_all/ask_to_delete')))?.askToDeleteAll(store),
);
// during a move the reply is what can be cancelled
find('loading-cancel', HTMLButtonElement).addEventListener('click', () =>
  chat.replying && !session.next ? chat.stop() : session.cancel(),
);

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
  void library.openFiles(files);
});

find('address-notes', HTMLElement).append(...addressNotes.map((note) => element('p', {}, note)));
find('address-notes', HTMLElement).hidden = addressNotes.length === 0;
refresh();
prepareMarkdown();
bindInstallButton(find('install', HTMLButtonElement));
find('settings-tools', HTMLFieldSetElement).after(createAppSection(pwa));
void starting.then(() =>
  launch.handle({
    draft: (text) => chat.composer.putBack({ text, files: [] }),
    open: (files) => void library.openFiles(files),
  }),
);
void pwa.ready
  .then(siteConfig)
  .then(({ model }) => {
    if (model) setFirstModel(model);
    return library.begin(kept('model'));
  })
  .then(refreshDemo);

/** A new version of the page may have another demo model. */
async function refreshDemo(): Promise<void> {
  const { choice, model } = session;
  if (choice.source !== EMBEDDED.source || !(await refreshWithVersion(EMBEDDED.source))) return;
  if (session.model === model && !busy()) await session.open(choice);
}

// what no part of the page has caught goes into the support report
addEventListener('error', ({ error, message }) =>
  rememberError(error instanceof Error ? error : { name: 'Error', message }),
);
addEventListener('unhandledrejection', ({ reason }) =>
  rememberError(reason instanceof Error ? reason : { name: 'Error', message: String(reason) }),
);
