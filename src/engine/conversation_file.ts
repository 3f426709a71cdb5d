/**
 * The file of an exported conversation. All numbers are little-endian:
 *
 *     8 bytes 'RVLTCONV' · u32 version · u32 length of the header · header, JSON · token ids, u32 each ·
 *     bytes of the state · SHA-256 of all before
 */
import { fail, show } from '../errors';
import { createSha256 } from '../store/sha256';
import type { RenderOptions } from '../text/chat_template';
import type { Message } from '../text/history';

/** What a template needs besides the messages. */
export type TemplateOptions = Pick<RenderOptions, 'tools' | 'variables'>;

export interface ConversationHead {
  /** id of the model, for people */
  model: string;
  messages: readonly Message[];
  options: TemplateOptions;
  /** absent: there are no token ids and no bytes of a state */
  state?: {
    /** only a program with the same text can use it */
    identity: string;
    layout: string;
    backend: string;
    /** calls that read the tokens: [tokens, number of them that still count] */
    calls: [number, number][];
  };
}

export interface ConversationFile {
  head: ConversationHead;
  /** of all calls; empty without a state */
  ids: Uint32Array;
  /** the state, in pieces of a few MB. It can be read again */
  pieces(): AsyncIterable<Uint8Array>;
}

const MAGIC = 'RVLTCONV';
const VERSION = 1;
const PREFIX_BYTES = 16;
const HASH_BYTES = 32;
/** as the arguments of a call */
const MAX_HEAD_BYTES = 1 << 24;
const PIECE_BYTES = 4 << 20;

/** @param state its bytes, in order */
export async function writeConversationFile(
  head: ConversationHead,
  ids: Uint32Array<ArrayBuffer>,
  state: AsyncIterable<Uint8Array>,
): Promise<Blob> {
  const parts: Blob[] = [];
  const hash = createSha256();
  const add = (bytes: Uint8Array): void => {
    hash.update(bytes);
    parts.push(new Blob([bytes as Uint8Array<ArrayBuffer>]));
  };
  const json = new TextEncoder().encode(JSON.stringify(head));
  const prefix = new DataView(new ArrayBuffer(PREFIX_BYTES));
  [...MAGIC].forEach((letter, i) => prefix.setUint8(i, letter.charCodeAt(0)));
  prefix.setUint32(8, VERSION, true);
  prefix.setUint32(12, json.length, true);
  add(new Uint8Array(prefix.buffer));
  add(json);
  add(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));
  for await (const piece of state) add(piece);
  return new Blob([...parts, hash.digest()], { type: 'application/octet-stream' });
}

/** @throws SourceError if it is none, damaged, of a newer version, or cannot be read */
export async function readConversationFile(file: Blob): Promise<ConversationFile> {
  const bytes = async (from: number, to: number): Promise<Uint8Array<ArrayBuffer>> => {
    try {
      return new Uint8Array(await file.slice(from, to).arrayBuffer());
    } catch (cause) {
      return fail('SourceError', { what: 'The file cannot be read', got: (cause as Error).message }, cause);
    }
  };
  async function* pieces(from: number, to: number): AsyncGenerator<Uint8Array> {
    for (let at = from; at < to; at += PIECE_BYTES) yield await bytes(at, Math.min(to, at + PIECE_BYTES));
  }
  const first = await bytes(0, PREFIX_BYTES);
  const prefix = new DataView(first.buffer);
  if (first.length < PREFIX_BYTES || String.fromCharCode(...first.subarray(0, 8)) !== MAGIC)
    failNone(`${file.size} bytes that begin otherwise`);
  if (prefix.getUint32(8, true) !== VERSION) failNone(`version ${prefix.getUint32(8, true)}`, `version ${VERSION}`);
  const headEnd = PREFIX_BYTES + prefix.getUint32(12, true);
  const end = file.size - HASH_BYTES;
  if (headEnd > end || headEnd > MAX_HEAD_BYTES) failNone(`a header of ${headEnd - PREFIX_BYTES} bytes`);
  const head = readHead(await bytes(PREFIX_BYTES, headEnd));
  const tokens = (head.state?.calls ?? []).reduce((sum, [length]) => sum + length, 0);
  const stateStart = headEnd + 4 * tokens;
  if (head.state ? stateStart > end : headEnd !== end) failDamaged(`${file.size} bytes`);
  const hash = createSha256();
  for await (const piece of pieces(0, end)) hash.update(piece);
  const stored = await bytes(end, file.size);
  if (hash.digest().some((byte, i) => byte !== stored[i])) failDamaged('another checksum');
  return {
    head,
    ids: new Uint32Array((await bytes(headEnd, stateStart)).buffer),
    pieces: () => pieces(stateStart, end),
  };
}

function readHead(bytes: Uint8Array): ConversationHead {
  let head: Partial<ConversationHead> | null;
  try {
    head = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as typeof head;
  } catch (cause) {
    return failNone((cause as Error).message);
  }
  const { model, messages, options, state } = head ?? {};
  if (typeof model !== 'string') return failNone(`model ${show(model)}`);
  if (!Array.isArray(messages)) return failNone(`messages ${show(messages)}`);
  if (!isObject(options) || !isTools(options.tools) || !isVariables(options.variables))
    return failNone('wrong options');
  if (state !== undefined && !isStateHead(state)) return failNone('a wrong description of its state');
  const { tools, variables }: TemplateOptions = options;
  return {
    model,
    messages: messages as Message[],
    options: { ...(tools !== undefined && { tools }), ...(variables !== undefined && { variables }) },
    ...(state && { state }),
  };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isTools = (value: unknown): value is TemplateOptions['tools'] =>
  value === undefined ||
  typeof value === 'string' ||
  (Array.isArray(value) && value.every((tool) => typeof tool === 'string' || isObject(tool)));

const isVariables = (value: unknown): value is TemplateOptions['variables'] => value === undefined || isObject(value);

function isStateHead(value: unknown): value is NonNullable<ConversationHead['state']> {
  if (!isObject(value)) return false;
  const { identity, layout, backend, calls } = value;
  return (
    [identity, layout, backend].every((text) => typeof text === 'string') &&
    Array.isArray(calls) &&
    calls.every(
      (call) => Array.isArray(call) && call.length === 2 && call.every(isCount) && call[1] > 0 && call[1] <= call[0],
    )
  );
}

const failNone = (got: string, wanted = 'a file of exportConversation()'): never =>
  fail('SourceError', { what: 'This is no exported conversation', got, wanted });

const failDamaged = (got: string): never =>
  fail('SourceError', { what: 'The exported conversation is damaged', got, cure: 'Copy or download the file again.' });
