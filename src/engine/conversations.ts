/** The conversations of one model: which of them a prompt continues, and which stay in memory. */
import type { Program, State } from '../backend/backend';
import { fail } from '../errors';
import type { RenderOptions } from '../text/chat_template';
import type { Message } from '../text/history';
import type { Tokenizer } from '../text/tokenizer';
import { alignPromptToHistory, commonPrefixLength } from './prompt_reuse';
import type { ModelOnBackend, RecoverableModel } from './recovery';
import { EMPTY_HISTORY, historyTokens, truncateHistory, type TokenHistory } from './token_history';

export interface Conversation {
  /** what its state has read. Empty if that is unknown */
  history: TokenHistory;
  /** absent, or of a program that is gone: then an empty state reads the history again */
  state?: State;
  /** a call reads or writes it */
  inUse: boolean;
}

/** How a prompt begins. */
export interface PromptStart {
  /** the prompt, with the tokens of the conversation where both spell the same text */
  prompt: readonly number[];
  /** absent: a new one begins */
  conversation?: Conversation;
  /** tokens of the conversation that stay */
  kept: number;
  /** what is behind them can go */
  extends: boolean;
}

/** The conversations of a model on disk: saved_conversations.ts, in the side file `conversations`. */
export interface SavedConversations {
  /**
   * The conversation with the longest history that the prompt continues, with its state.
   * @param kept tokens of the prompt that are in memory: it must be much longer
   * @param tokenizer absent: the prompt's tokens must stay as they are
   * @throws MemoryError, DeviceError. A damaged one is deleted, and the next one is tried
   */
  restore(
    model: ModelOnBackend,
    prompt: readonly number[],
    kept: number,
    tokenizer?: Tokenizer,
  ): Promise<PromptStart | undefined>;
  /**
   * Saves the conversations that no call uses, the most recently used first. Other calls have turns in between.
   * @throws StorageError of the first that cannot be saved, when all have been tried
   */
  saveIdle(
    conversations: Conversations,
    recoverable: Pick<RecoverableModel, 'run'>,
    signal: AbortSignal,
  ): Promise<void>;
  /** A file with these messages, and with what the model has read of them. @throws RequestError, DeviceError */
  exportFile(
    model: ModelOfConversations,
    messages: readonly Message[],
    options: RenderOptions,
    signal: AbortSignal,
  ): Promise<Blob>;
  /** @throws SourceError, RequestError, StorageError if the state is required; DeviceError */
  importFile(
    model: ModelOfConversations,
    file: Blob,
    use: StateUse,
    signal: AbortSignal,
  ): Promise<ImportedConversation>;
}

/** What exports and imports need of a model. */
export interface ModelOfConversations {
  id: string;
  conversations: Conversations;
  recoverable: Pick<RecoverableModel, 'run'>;
  tokenizer: Tokenizer;
  /** @throws RequestError */
  encode(messages: readonly Message[], options: RenderOptions): readonly number[];
}

/** What becomes of the state in the file of a conversation: `required` makes it an error if it cannot be used. */
export type StateUse = boolean | 'required';

/** A conversation from a file of `exportConversation()`. */
export interface ImportedConversation {
  messages: Message[];
  /** `tools` and `variables` of the export, for the next call */
  options: Pick<RenderOptions, 'tools' | 'variables'>;
  /** tokens that the next call with these messages need not read */
  tokens: number;
  /** why its text is read again, where that was not wanted */
  note?: string;
}

let openSaved: ((model: string) => SavedConversations) | undefined;

/** @param open gets the id of a model in the store */
export const registerSavedConversations = (open: typeof openSaved): void => void (openSaved = open);

/** Undefined without the side file. */
export const savedConversationsOf = (model: string): SavedConversations | undefined => openSaved?.(model);

/**
 * Fewer tokens are read again in no time. So they are no reason for a copy, neither in front of the place where two
 * conversations part nor behind it.
 */
const MIN_SHARED_TOKENS = 16;

const MB = 1 << 20;
/**
 * Most bytes of all states together. Who has memory for the weights has a quarter more; a small model may keep a few
 * conversations of 4096 tokens (50 MB each for 350M parameters), and a large one takes no more than a phone can spare.
 */
export const stateBudget = (weightBytes: number): number => Math.min(512 * MB, Math.max(64 * MB, weightBytes / 4));

export class Conversations {
  /** the least recently used first */
  private all: Conversation[] = [];

  constructor(private readonly budget: number) {}

  /**
   * The idle conversation with which a prompt shares most tokens that its state can reach. It changes nothing.
   * @param reuse false: nothing is kept, but a conversation that the prompt continues may begin anew in its place
   * @param tokenizer absent: the prompt's tokens must stay as they are
   */
  find(program: Program, prompt: readonly number[], reuse: boolean, tokenizer?: Tokenizer): PromptStart {
    let best: PromptStart = { prompt, kept: -1, extends: false };
    for (const conversation of this.all) {
      if (conversation.inUse) continue;
      const read = historyTokens(conversation.history);
      const aligned = tokenizer ? alignPromptToHistory(prompt, read, tokenizer) : prompt;
      // the last token is always read: its logits are needed
      const common = commonPrefixLength(read, aligned.slice(0, -1));
      const kept = reachable(conversation, program, common);
      const extending = read.length - common < MIN_SHARED_TOKENS;
      const shares = reuse && kept >= MIN_SHARED_TOKENS && conversation.state?.program === program;
      if ((extending || shares) && (kept > best.kept || (kept === best.kept && (extending || !best.extends))))
        best = { prompt: aligned, conversation, kept, extends: extending };
    }
    return reuse && best.conversation ? best : { ...best, kept: 0 };
  }

  /** Takes a conversation into use: the found one, or a copy of it if it goes on elsewhere, or a new one. */
  async open({ conversation, kept, extends: extending }: PromptStart): Promise<Conversation> {
    const copy = conversation && !extending ? await this.fork(conversation) : undefined;
    const opened = copy ?? conversation ?? { history: EMPTY_HISTORY, inUse: true };
    opened.history = truncateHistory(opened.history, kept);
    opened.inUse = true;
    this.add(opened);
    return opened;
  }

  /** The most recently used one from now on. */
  add(conversation: Conversation): void {
    this.all = [...this.all.filter((other) => other !== conversation), conversation];
  }

  /** The most recently used first. */
  idle(): Conversation[] {
    return this.all.filter(({ inUse }) => !inUse).reverse();
  }

  /**
   * A copy, which is not among the conversations yet; undefined if there is no room for both.
   * @throws RequestError if a call uses it, DeviceError
   */
  async fork(source: Conversation): Promise<Conversation | undefined> {
    const { state, history, inUse } = source;
    if (inUse) fail('RequestError', { what: 'A conversation cannot be copied while it is used' });
    if (!state || 2 * state.bytes > this.budget) return undefined;
    source.inUse = true; // it must not go to make room for its own copy
    try {
      for (;;) {
        try {
          return { history, state: await state.fork(), inUse };
        } catch (error) {
          if ((error as Error).name !== 'MemoryError') throw error;
          if (!this.freeOne(state.program)) return undefined;
        }
      }
    } finally {
      source.inUse = false;
    }
  }

  /** Frees the least recently used idle conversation; false if there is none. */
  freeOne(program: Program): boolean {
    const oldest = this.all.find(({ inUse, state }) => !inUse && state?.program === program);
    oldest?.state!.dispose();
    this.all = this.all.filter((other) => other !== oldest);
    return oldest !== undefined;
  }

  /** Frees idle conversations until all fit into the budget; those in use stay. */
  trim(program: Program): void {
    const bytes = (): number =>
      this.all.reduce((sum, { state }) => sum + (state?.program === program ? state.bytes : 0), 0);
    while (bytes() > this.budget && this.freeOne(program));
  }
}

/** The last position up to `position` to which the conversation can go back. */
const reachable = ({ state }: Conversation, program: Program, position: number): number =>
  state?.program === program && position < state.position ? state.rewindTarget(position) : position;
