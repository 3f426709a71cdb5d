/** The conversation on the page: what is sent, and the reply that is being written. */
import type { Model } from '../../src/index';
import { chatOptions } from './chat_options';
import { createComposer, type Composer } from './conversations/composer';
import type { ChatMessage, Conversation, Finish } from './conversations/conversation';
import { NEW_CHAT, type Draft } from './conversations/drafts';
import { describeResult, generate } from './conversations/generate';
import { showTitle } from './conversations/list';
import { createMessageActions } from './conversations/message_actions';
import type { MessageActions } from './conversations/message_foot';
import { createMessageLines } from './conversations/message_lines';
import { createOpenConversation } from './conversations/open_conversation';
import { createQueue } from './conversations/queue';
import { createReading } from './conversations/reading';
import { replyError } from './conversations/reply_error';
import type { ConversationStore } from './conversations/store';
import { announce, find } from './dom';
import type { KeptCall, Turn } from './history';
import type { ModelSession } from './models/model_session';
import { isJson, systemPrompt } from './json/form';
import { createJsonButton } from './json/json_button';
import { replyAsJson } from './reply_json';
import { MOST_ROUNDS, replyWithTools } from './reply_loop';
import { picturesFor } from './pictures/pictures';
import { requestMessages, spokenText, userTextOf, writeTurn } from './reply_text';
import type { Settings } from './settings';
import type { ToolRuns } from './tool_runs';
import { prepareSound } from './tools/index';
import type { Reply, Transcript } from './transcript';

export interface Chat {
  /** the messages of the branch that is shown, with the reply that is being written */
  turns(): Turn[];
  readonly conversation: Conversation;
  readonly replying: boolean;
  readonly composer: Composer;
  readonly transcript: Transcript;
  /** Sends a request as if it had been typed. */
  ask(request: string): void;
  stop(): void;
  newChat(): void;
  /**
   * @param atStart what has been typed since the page was opened stays in the field
   * @returns false if it is not there
   */
  open(id: string, atStart?: boolean): Promise<boolean>;
  /** The state of a card is another one now. */
  cardChanged(call: KeptCall): void;
  /** Shows what can be done now, and sends what has waited for a model. */
  refresh(): void;
  save(): Promise<void>;
  /** A conversation was changed in the storage by this tab. */
  reread(id: string): Promise<void>;
}

export interface ChatParts {
  session: ModelSession;
  settings(): Settings;
  tools: ToolRuns;
  store: ConversationStore;
  transcript(actions: MessageActions): Transcript;
  /** resolves when the conversation of the last visit is shown */
  started: Promise<void>;
  /** told after each change of what can be done, and of which conversation is shown */
  changed(): void;
  chooseModel(): void;
  useCpu(): void;
}

/** A reply that is being written. */
interface Run {
  controller: AbortController;
  view: Reply;
  /** absent until it has a word */
  message?: ChatMessage;
  /** what comes later is not shown any more */
  left: boolean;
}

export function createChat({
  session,
  settings,
  tools,
  store,
  transcript: makeTranscript,
  started,
  changed,
  chooseModel,
  useCpu,
}: ChatParts): Chat {
  let run: Run | undefined;
  /** done as soon as a model is ready, another one than this */
  let whenReady: { act(): void; before?: Model } | undefined;
  let failed = false;

  const current = createOpenConversation({
    store,
    changedElsewhere() {
      lines.changedElsewhere();
      refreshBranch();
    },
    deletedElsewhere() {
      newChat();
      announce('This conversation was deleted in another tab.');
    },
  });

  const lines = createMessageLines({
    current,
    written: () => run?.message,
    open: () => !run && !failed,
    changed: () => show(),
  });

  const definitions = (): object[] => tools.enabled().map(({ definition }) => definition);
  const reading = createReading({ session, settings, definitions });

  // Replies.

  /** What a request asks for needs the model to be loaded again, and is answered then. */
  async function answerConstrained(request: ChatMessage, soFar?: ChatMessage): Promise<void> {
    const mine = (whenReady = { act: () => void answer(request, soFar), before: session.model });
    announce('The model is loaded again for replies as JSON.');
    if ((await session.constrain()) || whenReady !== mine) return;
    whenReady = undefined;
    changed();
  }

  /** Answers a request, or continues a reply to it. */
  async function answer(request: ChatMessage, soFar?: ChatMessage): Promise<void> {
    const asked = session.model;
    if (run) return;
    if (!asked) {
      whenReady = { act: () => void answer(request, soFar) };
      return announce(session.busy ? 'The reply comes when the model is ready.' : 'Choose a model first.');
    }
    whenReady = undefined;
    failed = false;
    transcript.hideError();
    const { schema } = request;
    if (schema !== undefined && !session.constrained) return answerConstrained(request, soFar);
    const demo = session.isDemo();
    const model = soFar?.model ?? session.choice.name;
    const mine: Run = {
      controller: new AbortController(),
      view: transcript.reply(model, soFar),
      message: soFar,
      left: false,
    };
    const { signal } = mine.controller;
    run = mine;
    if (soFar) delete soFar.finish;
    transcript.setReplying(true);
    composer.setReplying(true);
    changed();
    const take = (turn: Turn): void => {
      if (mine.left) return;
      const { content, steps } = turn;
      const message = (mine.message ??= current.add(
        { role: 'assistant', content, ...(steps && { steps }), model },
        request.id,
      ));
      mine.view.isOf(message);
      writeTurn(message, turn);
    };
    const ended = (finish: Finish, note: string): void => {
      if (mine.left) return;
      if (mine.message) {
        Object.assign(mine.message, { finish, note });
        current.changed(mine.message, true);
      }
      leave(mine);
    };
    try {
      const before = current.messages();
      const earlier = before.slice(0, before.indexOf(request) + 1);
      const start = await reading.measure(earlier);
      if (!mine.left) show();
      const turns = earlier.slice(start);
      const seen = await picturesFor(asked, turns);
      const given = requestMessages(systemPrompt(settings().system, schema, demo), turns, demo, seen);
      const userText = userTextOf(earlier);
      const {
        reply,
        result,
        ended: rounds,
      } = await (schema === undefined ? replyWithTools : replyAsJson)(
        given,
        {
          demo,
          signal,
          tools: definitions(),
          generate: (messages, onText, continues) =>
            generate(
              asked,
              messages,
              {
                ...chatOptions(session, settings(), definitions(), schema),
                ...(continues && { continueFinalMessage: true }),
                signal,
              },
              onText,
            ),
          run: (call) => tools.run(call, mine.view.cards, signal, demo ? userText : undefined),
          onChange(turn) {
            if (mine.left) return;
            if (mine.message || turn.content || turn.reasoning || turn.steps) {
              take(turn);
              if (mine.message) current.changed(mine.message);
            }
            mine.view.write(turn);
          },
        },
        soFar,
      );
      const stopped = result.finish === 'abort';
      // a larger model is offered once in a conversation
      if (reply.offer === 'unanswered' && earlier.some(({ offer }) => offer === 'unanswered')) delete reply.offer;
      if (mine.message || reply.content || reply.reasoning || reply.steps || !stopped) take(reply);
      ended(
        rounds ? 'rounds' : result.finish,
        describeResult(result) +
          (rounds ? ` · stopped after ${MOST_ROUNDS} rounds of tools` : '') +
          (reply.json && !isJson(reply.content) ? ' · the JSON is not complete' : ''),
      );
      if (run === undefined) announce(stopped ? 'Stopped.' : `Rivulet: ${spokenText(reply)}`);
    } catch (error) {
      if (mine.left) return;
      failed = true;
      const { message } = mine;
      ended('failed', 'interrupted');
      showFailure(error, request, message);
    } finally {
      if (!mine.left) leave(mine);
      session.endMove();
      refreshBranch();
    }
  }

  /** The reply is not written any more, by its end or because another conversation is shown. */
  function leave(mine: Run): void {
    mine.left = true;
    mine.view.end();
    if (run === mine) run = undefined;
    transcript.setReplying(false);
    composer.setReplying(false);
    show();
  }

  /** Another conversation will be shown: the reply ends here, with the text so far. */
  function leaveReply(): void {
    const mine = run;
    if (!mine) return;
    mine.controller.abort();
    if (mine.message) {
      Object.assign(mine.message, { finish: 'abort', note: 'stopped' });
      current.changed(mine.message, true);
    }
    leave(mine);
  }

  function showFailure(error: unknown, request: ChatMessage, message: ChatMessage | undefined): void {
    // what tools have done must not be done again
    const retry = (): void => void (message?.steps ? answer(request, message) : regenerate(request));
    const whenLoaded = (load: () => void) => (): void => {
      whenReady = { act: retry, before: session.model };
      load();
    };
    // a model whose device or worker is lost answers no more
    const again =
      error instanceof Error && error.name === 'DeviceError'
        ? whenLoaded(() => void session.open(session.choice))
        : retry;
    transcript.showError(
      replyError(error, session.placement().backend, { again, newChat, useCpu: whenLoaded(useCpu), chooseModel }),
      message,
    );
    // the messages that wait would fail too
    const waiting = queue.takeAll();
    if (waiting.length) composer.putBack(...waiting);
  }

  const regenerate = (request: ChatMessage): void => {
    if (run) return;
    current.show(request, true);
    show();
    void answer(request);
  };
  const transcript = makeTranscript(
    createMessageActions({
      current,
      check: reading.check,
      replying: () => run !== undefined,
      enter,
      regenerate,
      answer: (request, soFar) => void answer(request, soFar),
      changed() {
        transcript.hideError();
        failed = false;
        refreshBranch();
      },
    }),
  );

  const show = (): void => {
    transcript.show(lines.all(), reading.from);
    showTitle(current.conversation);
  };
  const refreshBranch = (): void => {
    show();
    changed();
    void reading.measure(current.messages()).then(show);
  };

  // Sending.

  /** the conversation that is being opened */
  let opening: Promise<unknown> = started;
  const draftId = (): string => (current.messages().length ? current.conversation.id : NEW_CHAT);
  /** Adds a request to the conversation, and answers it. */
  function enter({ text, files, schema }: Draft, parent?: string | null): void {
    failed = false;
    const form = schema !== undefined && { schema };
    const message = current.add({ role: 'user', content: text, ...(files.length && { files }), ...form }, parent);
    composer.rename(current.conversation.id);
    show();
    transcript.scrollToEnd();
    void answer(message);
  }

  const queue = createQueue({
    after: find('messages', HTMLOListElement),
    edit: (draft) => composer.putBack(draft),
    changed,
  });
  const showForm = createJsonButton({
    session,
    chosen: () => composer.schema,
    choose: (schema) => void (composer.schema = schema),
  });
  const composer = createComposer({
    id: NEW_CHAT,
    formShown: showForm,
    waiting: () => queue.all,
    check: reading.check,
    pictureTokens: reading.pictureTokens,
    async send(draft) {
      prepareSound();
      await opening;
      const problem = await reading.check(draft);
      if (problem) return problem;
      if (!session.model || run || checking || queue.all.length) queue.add(draft);
      else enter(draft);
      return undefined;
    },
    stop: () => run?.controller.abort(),
  });
  /** the next message that waits is looked at */
  let checking = false;
  function sendNext(): void {
    queue.setReason(
      run
        ? 'Waits for this reply to end'
        : session.busy
          ? 'Waits until the model is ready'
          : 'Waits until you choose a model',
    );
    if (!session.model || run) return;
    if (whenReady) {
      if (whenReady.before === session.model) return;
      const { act } = whenReady;
      whenReady = undefined;
      return act();
    }
    if (checking || !queue.all.length) return;
    checking = true;
    const next = queue.next();
    void reading.check(next).then((problem) => {
      checking = false;
      if (!problem) return run ? queue.addFirst(next) : enter(next);
      composer.putBack(next);
      composer.say(problem);
    });
  }

  function leaveConversation(): void {
    leaveReply();
    whenReady = undefined;
    failed = false;
    transcript.hideError();
    const waiting = queue.takeAll();
    if (waiting.length) composer.putBack(...waiting);
  }

  function newChat(): void {
    leaveConversation();
    current.start();
    composer.open(NEW_CHAT);
    refreshBranch();
    composer.focus();
  }
  find('new-chat', HTMLButtonElement).addEventListener('click', () => {
    newChat();
    announce('New chat.');
  });

  const resumeTimers = (): void =>
    void tools
      .resume()
      .catch(() => announce('The timers of the last visit cannot be read. The browser’s storage is blocked.'));
  // a card of the conversation that is shown gets to know what became of its timer
  void started.then(() => current.messages().length || (resumeTimers(), changed()));

  let shownModel: Model | undefined;
  return {
    turns: () => current.messages(),
    get conversation() {
      return current.conversation;
    },
    get replying() {
      return run !== undefined;
    },
    composer,
    transcript,
    ask: composer.ask,
    stop: () => run?.controller.abort(),
    newChat,
    async open(id, atStart = false) {
      if (id === current.conversation.id) return true;
      leaveConversation();
      composer.open(id, atStart);
      const found = current.open(id);
      // what is sent meanwhile waits for it
      if (!atStart) opening = found;
      if (!(await found)) {
        composer.open(draftId());
        return false;
      }
      refreshBranch();
      transcript.scrollToEnd();
      resumeTimers();
      return true;
    },
    cardChanged(call) {
      transcript.update(call);
      current.cardChanged();
    },
    refresh() {
      sendNext();
      if (session.model === shownModel) return;
      shownModel = session.model;
      composer.setModel(session.model);
      void reading.measure(current.messages()).then(show);
    },
    save: current.save,
    async reread(id) {
      if (id !== current.conversation.id) return;
      await current.reread();
      show();
      changed();
    },
  };
}
