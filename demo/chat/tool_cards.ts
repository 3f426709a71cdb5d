/**
 * The cards of tool calls: what was asked of the page, what came of it, and how to take it back. Everything in them is
 * text, never markup.
 */
import type { ToolCall } from '../../src/index';
import { element } from './dom';
import type { KeptCall } from './history';
import type { IconName } from './icon_names';
import { icon } from './icons';
import { PAGE_TOOLS, type PageTool } from './tools/index';

export interface CardActions {
  cancel(call: KeptCall): void;
  undo(call: KeptCall): void;
  notify(): void;
  stopReading(call: KeptCall): void;
  /** the time of its timer is over */
  over(call: KeptCall): void;
}

/** `set_timer(minutes=10)` */
export function callText({ name, arguments: given }: Pick<ToolCall, 'name' | 'arguments'>): string {
  const listed = Object.entries(given).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return `${name || '?'}(${listed.join(', ')})`;
}

/** '9:58', '1:09:58' */
export function timeLeft(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (n: number): string => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** The call as the model wrote it, folded: the card says the same in plain words. */
const rawCall = (call: Pick<ToolCall, 'name' | 'arguments'>): HTMLElement =>
  element(
    'details',
    { className: 'call-raw' },
    element('summary', {}, 'Details'),
    element('code', { className: 'call-arguments' }, callText(call)),
  );

const STATES = { done: 'Done', refused: 'Not run', failed: 'Failed', declined: 'Not allowed' } as const;
const ENDED = { rang: 'Rang', missed: 'Ended while the page was closed', cancelled: 'Cancelled' } as const;

const runs = ({ live, ended }: KeptCall): boolean => live !== undefined && ended === undefined && live.end > Date.now();

export function stateText(call: KeptCall): string {
  if (call.undone) return 'Taken back';
  if (!call.live || call.state !== 'done') return STATES[call.state];
  return call.ended ? ENDED[call.ended] : runs(call) ? 'Running' : 'Over';
}

const isSpeaking = (): boolean =>
  typeof speechSynthesis !== 'undefined' && (speechSynthesis.speaking || speechSynthesis.pending);

const canUndo = ({ state, value, entry, undone, name }: KeptCall): boolean =>
  state === 'done' &&
  !undone &&
  (entry !== undefined ||
    (UNDOABLE.includes(name) && (typeof value.before === 'string' || typeof value.before === 'number')));
/** these tell in `value.before` what was there before */
const UNDOABLE = ['set_theme', 'set_volume', 'zoom'];

const button = (label: string, act: () => void, name?: string): HTMLButtonElement => {
  const made = element('button', { type: 'button', ...(name && { ariaLabel: name }) }, label);
  made.addEventListener('click', act);
  return made;
};

const ICONS: Record<PageTool['icon'], IconName> = {
  timer: 'timer',
  alarm: 'alarm-clock',
  clock: 'clock',
  calculator: 'calculator',
  ruler: 'ruler',
  note: 'notebook-pen',
  task: 'list-checks',
  theme: 'sun-moon',
  volume: 'volume-2',
  search: 'text-search',
  section: 'chevron-right',
  zoom: 'a-large-small',
  speech: 'scroll-text',
};

/** The icon of a tool. A call of something else gets a wrench. */
function toolIcon(name: string): SVGSVGElement {
  const tool = PAGE_TOOLS.find(({ definition }) => definition.name === name);
  return icon(tool ? ICONS[tool.icon] : 'wrench');
}

/** The card of a call that has been answered. */
export function callCard(call: KeptCall, actions: CardActions): HTMLLIElement {
  const running = runs(call);
  const item = element('li', { className: `call ${call.state}` });
  const state = element('span', { className: 'call-state' }, stateText(call));
  const head = element('p', { className: 'call-head' }, toolIcon(call.name), element('strong', {}, call.title), state);
  if (running && call.live)
    head.insertBefore(
      countdown(call.live.end, () => actions.over(call)),
      state,
    );
  item.append(head, element('p', { className: 'call-summary', dir: 'auto' }, call.summary));
  for (const repair of call.repairs)
    item.append(element('p', { className: 'call-repair' }, `Read differently: ${repair}`));
  const possible = [
    ...(running ? [button('Cancel', () => actions.cancel(call), `Cancel: ${call.live?.title ?? call.title}`)] : []),
    ...(running && typeof Notification !== 'undefined' && Notification.permission === 'default'
      ? [button('Also show a notification', actions.notify)]
      : []),
    ...(call.name === 'read_aloud' && call.state === 'done' && isSpeaking()
      ? [button('Stop reading', () => actions.stopReading(call))]
      : []),
    ...(canUndo(call) ? [button('Undo', () => actions.undo(call), `Undo: ${call.summary}`)] : []),
  ];
  if (possible.length) item.append(element('p', { className: 'call-actions' }, ...possible));
  item.append(rawCall(call));
  return item;
}

/**
 * The time that is left, each second, as long as it stands in the page. A screen reader reads it only when asked: the
 * role "timer" is silent.
 */
function countdown(end: number, over: () => void): HTMLElement {
  const shown = element('span', { className: 'call-left', role: 'timer' }, timeLeft(end - Date.now()));
  const ticking = setInterval(() => {
    if (!shown.isConnected) return clearInterval(ticking);
    shown.textContent = timeLeft(end - Date.now());
    if (end > Date.now()) return;
    clearInterval(ticking);
    over();
  }, 1000);
  return shown;
}

/** The card that asks before a lasting change. It resolves with false when the signal is aborted. */
export function askConsent(
  list: HTMLElement,
  tool: PageTool,
  call: ToolCall,
  signal: AbortSignal,
  announce: (text: string) => void,
): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  const question = `Save “${Object.values(call.arguments).map(String).join(', ')}” on this device?`;
  return new Promise((resolve) => {
    const answer = (allowed: boolean): void => {
      signal.removeEventListener('abort', refuse);
      const focused = item.contains(document.activeElement);
      item.remove();
      if (focused) document.getElementById('prompt')?.focus();
      resolve(allowed);
    };
    const refuse = (): void => answer(false);
    const text = element('p', { className: 'call-summary', dir: 'auto' }, question);
    const item = element(
      'li',
      { className: 'call asking' },
      element(
        'p',
        { className: 'call-head' },
        toolIcon(call.name),
        element('strong', {}, tool.title),
        element('span', { className: 'call-state' }, 'Waiting for you'),
      ),
      text,
      element(
        'p',
        { className: 'call-actions' },
        button('Allow', () => answer(true), `Allow. ${question}`),
        button('Not now', refuse, `Not now. ${question}`),
      ),
      rawCall(call),
    );
    item.tabIndex = -1;
    signal.addEventListener('abort', refuse, { once: true });
    list.append(item);
    item.scrollIntoView({ block: 'nearest' });
    announce(`Rivulet asks. ${tool.title}: ${question} Choose Allow or Not now.`);
    // one Tab before the buttons, unless the next message is being written
    const prompt = document.getElementById('prompt');
    if (!(prompt instanceof HTMLTextAreaElement) || prompt.value === '') item.focus({ preventScroll: true });
  });
}
