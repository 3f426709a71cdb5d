/** The cards of tool calls: what was asked of the page, what came of it, and how to take it back. Everything in them is text, never markup. */
import type { ToolCall } from '../../src/index';
import { element } from './dom';
import type { KeptCall } from './history';
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

const STATES = { done: 'Done', refused: 'Not run', failed: 'Failed', declined: 'Not allowed' } as const;
const ENDED = { rang: 'Rang', missed: 'Ended while the page was closed', cancelled: 'Cancelled' } as const;

const runs = ({ live, ended }: KeptCall): boolean => live !== undefined && ended === undefined && live.end > Date.now();

export function stateText(call: KeptCall): string {
  if (call.undone) return 'Taken back';
  if (!call.live || call.state !== 'done') return STATES[call.state];
  return call.ended ? ENDED[call.ended] : runs(call) ? 'Running' : 'Over';
}

const isSpeaking = (): boolean => typeof speechSynthesis !== 'undefined' && (speechSynthesis.speaking || speechSynthesis.pending);

const canUndo = ({ state, value, entry, undone, name }: KeptCall): boolean =>
  state === 'done' && !undone && (entry !== undefined || (UNDOABLE.includes(name) && (typeof value.before === 'string' || typeof value.before === 'number')));
/** these tell in `value.before` what was there before */
const UNDOABLE = ['set_theme', 'set_volume', 'zoom'];

const button = (label: string, act: () => void, name?: string): HTMLButtonElement => {
  const made = element('button', { type: 'button', ...(name && { ariaLabel: name }) }, label);
  made.addEventListener('click', act);
  return made;
};

const SVG = 'http://www.w3.org/2000/svg';
/** 24 × 24, in lines */
const ICONS: Record<PageTool['icon'], string> = {
  timer: 'M12 5.5a7.5 7.5 0 1 0 0 15a7.5 7.5 0 1 0 0-15M12 9v4l2.5 2M9 2.5h6',
  alarm: 'M12 5.5a7.5 7.5 0 1 0 0 15a7.5 7.5 0 1 0 0-15M12 9v4l2.5 2M3.5 6l3-3M20.5 6l-3-3',
  clock: 'M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 1 0 0-17M12 7v5l3 2',
  calculator: 'M6 3h12v18H6zM9 7h6M9 12h.1M12 12h.1M15 12h.1M9 16h.1M12 16h.1M15 16h.1',
  ruler: 'M4 8h13l-3-3M20 16H7l3 3',
  note: 'M5 4h14v16H5zM8.5 9h7M8.5 13h7',
  task: 'M4 12.5l5 5L20 6.5',
  theme: 'M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16',
  volume: 'M4 10v4h3l5 4V6L7 10zM15.5 9.5a4 4 0 0 1 0 5M18 7a8 8 0 0 1 0 10',
  search: 'M11 4.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13M20 20l-4-4',
  section: 'M5 12h14M13 6l6 6-6 6',
  zoom: 'M3 19l5-13 5 13M5 14h6M14 19l3.5-8 3.5 8M15.5 16h4',
  speech: 'M4 5h16v11H11l-4 4v-4H4z',
};

function icon(name: string): SVGSVGElement | string {
  const tool = PAGE_TOOLS.find(({ definition }) => definition.name === name);
  if (!tool) return '';
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[tool.icon]);
  svg.append(path);
  return svg;
}

/** The card of a call that has been answered. */
export function callCard(call: KeptCall, actions: CardActions): HTMLLIElement {
  const running = runs(call);
  const item = element('li', { className: `call ${call.state}` });
  const state = element('span', { className: 'call-state' }, stateText(call));
  const head = element('p', { className: 'call-head' }, icon(call.name), element('strong', {}, call.title), state);
  if (running && call.live) head.insertBefore(countdown(call.live.end, () => actions.over(call)), state);
  item.append(head, element('p', { className: 'call-summary', dir: 'auto' }, call.summary));
  for (const repair of call.repairs) item.append(element('p', { className: 'call-repair' }, `Read differently: ${repair}`));
  item.append(element('code', { className: 'call-arguments' }, callText(call)));
  const possible = [
    ...(running ? [button('Cancel', () => actions.cancel(call), `Cancel: ${call.live?.title ?? call.title}`)] : []),
    ...(running && typeof Notification !== 'undefined' && Notification.permission === 'default' ? [button('Also show a notification', actions.notify)] : []),
    ...(call.name === 'read_aloud' && call.state === 'done' && isSpeaking() ? [button('Stop reading', () => actions.stopReading(call))] : []),
    ...(canUndo(call) ? [button('Undo', () => actions.undo(call), `Undo: ${call.summary}`)] : []),
  ];
  if (possible.length) item.append(element('p', { className: 'call-actions' }, ...possible));
  return item;
}

/** The time that is left, each second, as long as it stands in the page. A screen reader reads it only when asked: the role "timer" is silent. */
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
export function askConsent(list: HTMLElement, tool: PageTool, call: ToolCall, signal: AbortSignal, announce: (text: string) => void): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  const question = `${tool.title}: save “${Object.values(call.arguments).map(String).join(', ')}” on this device?`;
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
      element('p', { className: 'call-head' }, icon(call.name), element('strong', {}, tool.title), element('span', { className: 'call-state' }, 'Waiting for you')),
      text,
      element('code', { className: 'call-arguments' }, callText(call)),
      element('p', { className: 'call-actions' }, button('Allow', () => answer(true), `Allow. ${question}`), button('Not now', refuse, `Not now. ${question}`)),
    );
    item.tabIndex = -1;
    signal.addEventListener('abort', refuse, { once: true });
    list.append(item);
    item.scrollIntoView({ block: 'nearest' });
    announce(`Rivulet asks. ${question} Choose Allow or Not now.`);
    // one Tab before the buttons, unless the next message is being written
    const prompt = document.getElementById('prompt');
    if (!(prompt instanceof HTMLTextAreaElement) || prompt.value === '') item.focus({ preventScroll: true });
  });
}
