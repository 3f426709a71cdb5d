/** Exports a conversation with its state to a file, and imports it. It is in the side file `conversations`. */
import type { BackendName } from '../backend/backend';
import { restoreState, saveState } from '../backend/saved_state';
import { fail } from '../errors';
import type { Message } from '../text/history';
import {
  readConversationFile,
  writeConversationFile,
  type ConversationFile,
  type ConversationHead,
  type TemplateOptions,
} from './conversation_file';
import type { Conversation, ImportedConversation, ModelOfConversations, PromptStart, StateUse } from './conversations';
import { alignPromptToHistory, commonPrefixLength } from './prompt_reuse';
import type { ModelOnBackend } from './recovery';
import { historyTokens, truncateHistory, type TokenHistory } from './token_history';

/** Fewer tokens are read about as fast as a state is. */
export const MIN_GAIN_TOKENS = 64;

type FindSaved = (model: ModelOnBackend, prompt: readonly number[], kept: number) => Promise<PromptStart | undefined>;

/**
 * The file of these messages, with the state of the conversation that has read them, if there is one.
 * @param findSaved looks for it on disk
 * @throws RequestError, DeviceError, AbortError
 */
export async function exportFile(
  { id, conversations, recoverable, tokenizer, encode }: ModelOfConversations,
  messages: readonly Message[],
  { tools, variables }: TemplateOptions,
  findSaved: FindSaved,
  signal: AbortSignal,
): Promise<Blob> {
  const options = { ...(tools && { tools }), ...(variables && { variables }) };
  const prompt = encode(messages, { ...options, addGenerationPrompt: false });
  const head: ConversationHead = { model: id, messages, options };
  return recoverable.run(async (model) => {
    const inMemory = conversations.find(model.program, prompt, true, tokenizer);
    const saved = await findSaved(model, prompt, inMemory.kept);
    if (saved) conversations.add(saved.conversation!);
    const { conversation, kept, extends: extending } = saved ?? inMemory;
    const found = kept >= MIN_GAIN_TOKENS && conversation?.state?.program === model.program ? conversation : undefined;
    // another one may go on behind these messages
    const source = found && !extending ? await conversations.fork(found) : found;
    if (!source) return writeConversationFile(head, new Uint32Array(), noPieces());
    source.inUse = true;
    try {
      return await writeState(head, source, kept, model);
    } finally {
      source.inUse = false;
      if (source !== found) source.state!.dispose();
    }
  }, signal);
}

async function* noPieces(): AsyncGenerator<Uint8Array> {}

/** Takes the conversation back to these tokens, and writes it. */
function writeState(
  head: ConversationHead,
  conversation: Conversation,
  kept: number,
  { identity }: ModelOnBackend,
): Promise<Blob> {
  const state = conversation.state!;
  if (state.position > kept) state.rewind(kept);
  const { backend, calls } = (conversation.history = truncateHistory(conversation.history, kept));
  const { layout, pieces } = saveState(state);
  const counts = calls.map(({ ids, kept }): [number, number] => [ids.length, kept]);
  return writeConversationFile(
    { ...head, state: { identity, layout, backend: backend!, calls: counts } },
    Uint32Array.from(calls.flatMap(({ ids }) => ids)),
    pieces,
  );
}

/**
 * The messages of a file. Its state becomes a conversation of the model, so that these messages need not be read.
 * @param use false: the state stays unused; 'required': it is an error if it cannot be used
 * @throws SourceError for another file; RequestError for messages that the model's template refuses; StorageError for a
 * state that is required; DeviceError, AbortError
 */
export async function importFile(
  model: ModelOfConversations,
  file: Blob,
  use: StateUse,
  signal: AbortSignal,
): Promise<ImportedConversation> {
  const read = await readConversationFile(file);
  const { messages, options } = read.head;
  const prompt = model.encode(messages, { ...options, addGenerationPrompt: false });
  const imported = { messages: [...messages], options };
  if (!use) return { ...imported, tokens: 0 };
  try {
    return { ...imported, tokens: await restore(model, read, prompt, signal) };
  } catch (cause) {
    const { name, message } = cause as Error;
    if (!['StorageError', 'MemoryError', 'SourceError'].includes(name)) throw cause;
    if (use !== 'required') return { ...imported, tokens: 0, note: message };
    return fail(
      'StorageError',
      {
        what: 'The state of the exported conversation cannot be used',
        got: message,
        cure: "Import it without state: 'required', and its text is read again.",
      },
      cause,
    );
  }
}

/** @returns the number of tokens. @throws StorageError, MemoryError, SourceError; DeviceError, AbortError */
function restore(
  { conversations, recoverable, tokenizer }: ModelOfConversations,
  { head: { state: saved, model: madeBy }, ids, pieces }: ConversationFile,
  prompt: readonly number[],
  signal: AbortSignal,
): Promise<number> {
  if (!saved) fail('StorageError', { what: 'The exported conversation has no state' });
  let at = 0;
  const history: TokenHistory = {
    backend: saved.backend as BackendName,
    calls: saved.calls.map(([length, kept]) => ({ ids: [...ids.subarray(at, (at += length))], kept })),
  };
  const tokens = historyTokens(history);
  let failure: Error | undefined;
  const task = async ({ program, identity }: ModelOnBackend): Promise<void> => {
    if (saved.identity !== identity)
      fail('StorageError', { what: 'The exported conversation is of another model or build', got: madeBy });
    const aligned = alignPromptToHistory(prompt, tokens, tokenizer);
    if (commonPrefixLength(tokens, aligned) !== tokens.length)
      fail('StorageError', { what: 'The state of the exported conversation is of other messages' });
    const restored = { layout: saved.layout, tokens: Uint32Array.from(tokens), pieces: pieces() };
    const conversation = { history, state: await restoreState(program, restored), inUse: false };
    conversations.add(conversation);
    conversations.trim(program);
    if (!conversations.idle().includes(conversation))
      fail('MemoryError', { what: 'The exported conversation is too large for this device' });
  };
  return recoverable
    .run(
      (model) =>
        task(model).catch((error: Error) => {
          // lack of memory for a file is no reason to load the model elsewhere
          if (error.name !== 'MemoryError') throw error;
          failure = error;
        }),
      signal,
    )
    .then(() => (failure ? Promise.reject(failure) : tokens.length));
}
