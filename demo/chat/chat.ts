/** The conversation on the page: what is sent, and the reply that is being written. */
import type { GenerationResult, Message } from '../../src/index';
import { find } from './dom';
import type { ErrorBox } from './error_box';
import { count, duration, speed } from './format';
import { keep, keptTurns, type Turn } from './history';
import { EMBEDDED_SAMPLING } from './models/catalogue';
import type { ModelSession } from './models/model_session';
import { MOST_ROUNDS, replyWithTools, turnMessages } from './reply_loop';
import { SAMPLING, type Settings } from './settings';
import type { ToolRuns } from './tool_runs';
import { prepareSound } from './tools/index';
import type { Transcript } from './transcript';

export interface Chat {
  /** the turns so far, with the reply that is being written */
  turns(): Turn[];
  readonly replying: boolean;
  /** Sends a request as if it had been typed. */
  ask(request: string): void;
  stop(): void;
  newChat(): void;
  remember(): void;
  /** shows the buttons that can be pressed now */
  refresh(): void;
}

export interface ChatParts {
  session: ModelSession;
  settings(): Settings;
  tools: ToolRuns;
  transcript: Transcript;
  errors: ErrorBox;
  announce(text: string): void;
  changed(): void;
}

export function createChat({ session, settings, tools, transcript, errors, announce, changed }: ChatParts): Chat {
  const turns: Turn[] = keptTurns();
  let replying: AbortController | undefined;
  /** the reply that is being written */
  let partial: Turn | undefined;

  const composer = find('composer', HTMLFormElement);
  const prompt = find('prompt', HTMLTextAreaElement);
  const send = find('send', HTMLButtonElement);
  const stop = find('stop', HTMLButtonElement);

  const messages = (demo: boolean): Message[] => {
    const { system } = settings();
    return [...(system.trim() ? [{ role: 'system' as const, content: system }] : []), ...turns.flatMap((turn) => turnMessages(turn, demo))];
  };

  const remember = (): void => {
    if (!keep('turns', turns)) announce('This conversation cannot be saved. The browser’s storage is full or blocked.');
  };

  /** Answers the last turn: the user's, or a reply that was interrupted after its tools ran. */
  const answer = async (): Promise<void> => {
    const asked = session.model;
    if (!asked || replying) return;
    const demo = session.isDemo();
    const mine = new AbortController();
    replying = mine;
    changed();
    errors.hide();
    const reply = transcript.reply();
    const before = turns.length;
    const definitions = tools.enabled().map(({ definition }) => definition);
    const userText = turns.filter(({ role }) => role === 'user').map(({ content }) => content).join('\n');
    try {
      const own = Object.fromEntries(SAMPLING.map((name) => [name, settings()[name]]).filter(([, value]) => value !== undefined));
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
      errors.show(error, () => {
        if (!acted) reply.remove();
        void answer();
      });
    } finally {
      replying = undefined;
      partial = undefined;
      session.endMove();
      changed();
    }
  };

  // keeps the text so far when the page closes in the middle of a reply
  window.addEventListener('pagehide', () => {
    if (partial) keep('turns', [...turns, { ...partial, note: 'interrupted' }]);
  });

  prompt.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    composer.requestSubmit();
  });

  composer.addEventListener('submit', (event) => {
    event.preventDefault();
    const content = prompt.value.trim();
    if (!content || replying) return;
    if (!session.model) return announce(session.busy ? 'The model is still loading.' : 'Choose a model first.');
    prompt.value = '';
    prepareSound();
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

  const newChat = (): void => {
    replying?.abort();
    turns.length = 0;
    remember();
    transcript.clear();
    errors.hide();
    announce('New chat.');
    changed();
    prompt.focus();
  };
  find('new-chat', HTMLButtonElement).addEventListener('click', newChat);

  return {
    turns: () => [...turns, ...(partial ? [partial] : [])],
    get replying() {
      return replying !== undefined;
    },
    ask(request) {
      prompt.value = request;
      prompt.focus();
      composer.requestSubmit();
    },
    stop: () => replying?.abort(),
    newChat,
    remember,
    refresh() {
      send.disabled = !session.model || replying !== undefined;
      send.hidden = replying !== undefined;
      stop.hidden = replying === undefined;
    },
  };
}

/** The line under a reply. */
function describe({ finish, tokens, tokensPerSecond, firstTokenMs }: GenerationResult): string {
  const end = { stop: '', length: 'stopped at the length limit', abort: 'stopped' }[finish];
  const figures = tokens > 1 ? [`${count(tokens)} tokens`, speed(tokensPerSecond), `${duration(firstTokenMs / 1000)} to first token`] : [];
  return [...figures, end].filter(Boolean).join(' · ');
}
