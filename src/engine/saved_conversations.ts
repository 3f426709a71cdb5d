/** Conversations of one model on disk: which of them a prompt continues. */
import type { BackendName } from '../backend/backend';
import { restoreState, saveState } from '../backend/saved_state';
import {
  lastForgotten,
  listSavedStates,
  storeState,
  useSavedState,
  type SavedStateRecord,
} from '../store/saved_states';
import type { Tokenizer } from '../text/tokenizer';
import { abortError } from '../errors';
import type { Conversation, Conversations, PromptStart, SavedConversations } from './conversations';
import { alignPromptToHistory, commonPrefixLength } from './prompt_reuse';
import type { ModelOnBackend, RecoverableModel } from './recovery';
import { isPictureToken } from './picture_tokens';
import { exportFile, importFile, MIN_GAIN_TOKENS } from './transfer_conversation';
import { historyLength, historyTokens, truncateHistory, type TokenHistory } from './token_history';

export class ConversationsOnDisk implements SavedConversations {
  private list?: Promise<SavedStateRecord[]>;

  /** @param model its id in the store */
  constructor(private readonly model: string) {}

  async restore(
    { program, identity }: ModelOnBackend,
    prompt: readonly number[],
    kept: number,
    tokenizer?: Tokenizer,
  ): Promise<PromptStart | undefined> {
    const found = (await this.all()).flatMap((record) => {
      const history = historyOf(record);
      const read = historyTokens(history);
      if (record.identity !== identity || read.length < kept + MIN_GAIN_TOKENS) return [];
      const aligned = tokenizer ? alignPromptToHistory(prompt, read, tokenizer) : prompt;
      return commonPrefixLength(read, aligned.slice(0, -1)) === read.length ? [{ record, history, read, aligned }] : [];
    });
    for (const { record, history, read, aligned } of found.sort((a, b) => b.read.length - a.read.length)) {
      const { layout } = record;
      const state = await useSavedState(record, (pieces) =>
        restoreState(program, { layout, tokens: Uint32Array.from(read), pieces }),
      );
      if (state)
        return { prompt: aligned, conversation: { history, state, inUse: false }, kept: read.length, extends: true };
      this.list = undefined;
    }
    return undefined;
  }

  async saveIdle(
    conversations: Conversations,
    recoverable: Pick<RecoverableModel, 'run'>,
    signal: AbortSignal,
  ): Promise<void> {
    this.list = undefined; // another tab may have saved or forgotten
    const since = await lastForgotten();
    const error = await recoverable.run(async (model, turn) => {
      let first: Error | undefined;
      for (const conversation of conversations.idle()) {
        if (signal.aborted) throw abortError();
        if (conversation.inUse) continue; // since another call had its turn
        conversation.inUse = true;
        try {
          if (!(await this.save(model, conversation, since))) break;
        } catch (cause) {
          if ((cause as Error).name !== 'StorageError') throw cause;
          first ??= cause as Error;
        } finally {
          conversation.inUse = false;
        }
        await turn.pass();
      }
      return first;
    }, signal);
    if (error) throw error;
  }

  exportFile(...[model, messages, options, signal]: Parameters<SavedConversations['exportFile']>): Promise<Blob> {
    const find = (on: ModelOnBackend, prompt: readonly number[], kept: number) =>
      this.restore(on, prompt, kept, model.tokenizer);
    return exportFile(model, messages, options, find, signal);
  }

  readonly importFile = importFile;

  /**
   * Saves a conversation in its turn, in place of those that it continues. Does nothing if it is saved or short.
   * @returns false if conversations were forgotten since the save began
   * @throws StorageError if it is too large, or there is no storage
   */
  private async save(
    { program, identity }: ModelOnBackend,
    { history, state }: Conversation,
    since: unknown,
  ): Promise<boolean> {
    if (state?.program !== program) return true;
    const length = state.rewindTarget(Math.min(state.position, historyLength(history)));
    if (length < MIN_GAIN_TOKENS) return true;
    const { backend, calls } = truncateHistory(history, length);
    const read = historyTokens({ calls });
    // their pictures are not saved
    if (read.some(isPictureToken)) return true;
    const earlier = (await this.all()).filter((record) => {
      const tokens = historyTokens(historyOf(record));
      return record.identity === identity && commonPrefixLength(tokens, read) === tokens.length;
    });
    if (earlier.some((record) => historyLength(historyOf(record)) === length)) return true;
    this.list = undefined;
    return storeState(
      {
        model: this.model,
        id: `${Date.now()}-${Math.random()}`,
        identity,
        backend: backend!,
        calls: calls.map(({ ids, kept }) => [Uint32Array.from(ids), kept]),
      },
      state.bytes,
      {
        since,
        read() {
          state.rewind(length);
          return saveState(state);
        },
      },
      earlier,
    );
  }

  private all(): Promise<SavedStateRecord[]> {
    return (this.list ??= listSavedStates(this.model));
  }
}

const historyOf = ({ backend, calls }: SavedStateRecord): TokenHistory => ({
  backend: backend as BackendName,
  calls: calls.map(([ids, kept]) => ({ ids: [...ids], kept })),
});
