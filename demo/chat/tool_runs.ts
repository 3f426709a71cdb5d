/** The page's side of a tool call: which tools are on, consent, and what the buttons of the cards do. */
import { find } from './dom';
import { findText } from './find_text';
import type { KeptCall, TimerEnd, Turn } from './history';
import { createNotesDialog } from './notes_dialog';
import { pageParts } from './page_host';
import { askConsent, type CardActions } from './tool_cards';
import {
  askToNotify,
  browserHost,
  cancelTimer,
  PAGE_TOOLS,
  removeEntry,
  resumeTimers,
  runCall,
  stopSpeaking,
  type Entry,
  type PageHost,
  type PageTool,
  type Timer,
} from './tools/index';
import type { Transcript } from './transcript';

export interface ToolRunsParts {
  /** all turns, the reply that is being written among them */
  turns(): Turn[];
  /** shows them */
  transcript(): Transcript;
  /** names of tools that are switched off */
  off(): readonly string[];
  /** A stored call is another one now: its card is shown anew, and the conversation is stored. */
  changed(call: KeptCall): void;
  announce(text: string): void;
  openModels(): void;
  openSettings(): void;
}

export interface ToolRuns {
  enabled(): PageTool[];
  /** @param cards the list that a question is asked in; @param userText given: the values of a call must occur in it */
  run(call: unknown, cards: HTMLElement, signal: AbortSignal, userText?: string): Promise<KeptCall>;
  actions: CardActions;
  /** Goes on with the timers of the last visit. */
  resume(): Promise<void>;
  openNotes(): void;
  /** colours, text size and volume, which the settings change, too */
  look: Pick<PageHost, 'theme' | 'setTheme' | 'zoom' | 'setZoom' | 'volume' | 'setVolume'>;
}

export function createToolRuns({
  turns,
  transcript,
  off,
  changed,
  announce,
  openModels,
  openSettings,
}: ToolRunsParts): ToolRuns {
  const calls = (): KeptCall[] => turns().flatMap(({ steps = [] }) => steps.flatMap((step) => step.calls));
  const timerEnded = (timer: Timer, how: TimerEnd): void => {
    announce(
      {
        rang: `${timer.title}: the time is over.`,
        missed: `${timer.title}: it ended while the page was closed.`,
        cancelled: `${timer.title}: cancelled.`,
      }[how],
    );
    for (const call of calls()) {
      if (call.live?.id !== timer.id) continue;
      call.ended = how;
      changed(call);
    }
  };
  const host = browserHost(
    pageParts({
      sections: {
        settings: openSettings,
        models: openModels,
        notes: () => notes.open(),
        tasks: () => notes.open(),
        timers: () => notes.open(),
        conversation: () => find('messages', HTMLOListElement).scrollIntoView({ block: 'start' }),
        message: () => find('prompt', HTMLTextAreaElement).focus(),
      },
      lastAnswer: () => turns().findLast(({ role, content }) => role === 'assistant' && content !== '')?.content,
      findText: (query) => findText(query, transcript()),
      timerEnded,
    }),
  );
  const takenBack = (call: KeptCall): void => {
    call.undone = true;
    changed(call);
  };
  const notes = createNotesDialog(host, ({ id }: Entry) =>
    calls()
      .filter(({ entry }) => entry?.id === id)
      .forEach(takenBack),
  );
  const enabled = (): PageTool[] => PAGE_TOOLS.filter(({ definition }) => !off().includes(definition.name));

  async function undo(call: KeptCall): Promise<void> {
    const { before } = call.value;
    if (call.entry) await removeEntry(host, call.entry);
    else if (call.name === 'set_theme') host.setTheme(String(before));
    else if (call.name === 'set_volume') host.setVolume(Number(before));
    else if (call.name === 'zoom') host.setZoom(Number(before));
    takenBack(call);
    announce(`Taken back: ${call.summary}`);
  }
  const failed = (): void => announce('This failed. The browser’s storage is full or blocked.');

  return {
    enabled,
    run: (call, cards, signal, userText) =>
      runCall(call, {
        enabled: enabled().map(({ definition }) => definition.name),
        host,
        userText,
        consent: (tool, asked) => {
          cards.hidden = false;
          return askConsent(cards, tool, asked, signal, announce);
        },
      }),
    actions: {
      cancel: ({ live }) => void (live && cancelTimer(host, live.id).catch(failed)),
      undo: (call) => void undo(call).catch(failed),
      notify: () =>
        void askToNotify().then((allowed) => {
          announce(allowed ? 'Notifications are on.' : 'The browser does not allow notifications here.');
          calls().forEach(changed);
        }),
      stopReading(call) {
        stopSpeaking();
        changed(call);
      },
      over: changed,
    },
    async resume() {
      const { running } = await resumeTimers(host);
      // what ended or was cancelled in another tab
      for (const call of calls()) {
        if (!call.live || call.ended || running.some(({ id }) => id === call.live?.id)) continue;
        call.ended = call.live.end > host.now() ? 'cancelled' : 'rang';
        changed(call);
      }
    },
    openNotes: () => notes.open(),
    look: host,
  };
}
