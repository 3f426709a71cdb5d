/**
 * Files as conversations: our own JSON and Markdown, and lists of messages in the form of OpenAI. Files come from
 * anywhere and are checked first.
 */
import { isObject, isText, type KeptCall, type Step } from '../history';
import {
  conversationIn,
  newConversation,
  newId,
  parentCycles,
  plainTitle,
  titleOf,
  type ChatMessage,
  type Conversation,
} from './conversation';
import { FORMAT, PART, unguarded, VERSION } from './export';

/** Says what was read, what was found, what was expected, and what to do. */
export class ImportError extends Error {
  override readonly name = 'ImportError';
}

export const MOST_BYTES = 50e6;
const MOST_DEPTH = 64;
const MOST_MESSAGES = 50_000;

const CURE = 'Export the conversation again as JSON, and import that file.';
const refuse = (name: string, got: string, wanted: string, cure = CURE): never => {
  throw new ImportError(`${name} cannot be imported: got ${got}, wanted ${wanted}. ${cure}`);
};

/** A value of a file, in a few words. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (isText(value)) return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? `a list of ${value.length}` : 'an object';
}

/**
 * @param onPictures gets the pictures of a file that has some
 * @throws ImportError
 */
export async function readConversations(
  file: File,
  onPictures?: (pictures: Record<string, unknown>) => void,
): Promise<Conversation[]> {
  if (file.size > MOST_BYTES)
    refuse(
      file.name,
      `${Math.ceil(file.size / 1e6)} MB`,
      `at most ${MOST_BYTES / 1e6} MB`,
      'Export the conversations one by one.',
    );
  const text = await file.text();
  return /\.(md|markdown)$/i.test(file.name) || text.trimStart().startsWith('<!-- rivulet ')
    ? [fromMarkdown(text, file.name)]
    : fromJson(text, file.name, onPictures);
}

/**
 * The depth of the brackets outside of strings. It is found before the text is parsed: parsing and checking recurse.
 */
export function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character === '\\') at++;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === '[' || character === '{') deepest = Math.max(deepest, ++depth);
    else if (character === ']' || character === '}') depth--;
  }
  return deepest;
}

/** @throws ImportError */
export function fromJson(
  text: string,
  name: string,
  onPictures?: (pictures: Record<string, unknown>) => void,
): Conversation[] {
  const wanted = 'conversations exported from this page, or a list of messages with role and content';
  const depth = depthOf(text);
  if (depth > MOST_DEPTH) refuse(name, `values nested ${depth} deep`, `at most ${MOST_DEPTH}`);
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    refuse(name, `no JSON (${(error as Error).message.slice(0, 120)})`, wanted);
  }
  if (isObject(given) && given.format === FORMAT) {
    if (given.version !== VERSION)
      refuse(
        name,
        `version ${shown(given.version)}`,
        `version ${VERSION}`,
        'Reload this page to get its newest version, and import the file again.',
      );
    if (!Array.isArray(given.conversations)) refuse(name, `conversations: ${shown(given.conversations)}`, 'a list');
    const conversations = (given.conversations as unknown[]).map((value, i) => ours(value, i, name));
    if (isObject(given.pictures)) onPictures?.(given.pictures);
    return conversations;
  }
  const list = isObject(given) ? given.messages : given;
  // a list of messages, or a list of such lists
  if (Array.isArray(list) && list.length && list.every((value) => isObject(value) && Array.isArray(value.messages)))
    return list.map((value) => fromMessages(value.messages as unknown[], name, value.title));
  if (!Array.isArray(list)) return refuse(name, shown(given), wanted);
  return [fromMessages(list, name, isObject(given) ? given.title : undefined)];
}

function ours(value: unknown, i: number, name: string): Conversation {
  const messages =
    isObject(value) && isObject(value.messages)
      ? value.messages
      : refuse(name, `conversation ${i + 1} without messages`, 'messages by their ids');
  const given = Object.entries(messages);
  if (given.length > MOST_MESSAGES)
    refuse(name, `${given.length} messages in conversation ${i + 1}`, `at most ${MOST_MESSAGES}`);
  for (const [id, message] of given) {
    const where = `message ${shown(id)} of conversation ${i + 1}`;
    if (!isObject(message))
      return refuse(name, `${where}: ${shown(message)}`, 'an object with id, parent, role and content');
    if (message.id !== id) refuse(name, `${where} with the id ${shown(message.id)}`, 'the same id in both places');
    if (message.parent !== null && !(isText(message.parent) && Object.hasOwn(messages, message.parent)))
      refuse(name, `${where} with the parent ${shown(message.parent)}`, 'null or the id of another message');
  }
  const [circle] = parentCycles(
    Object.assign(Object.create(null), messages) as Record<string, { parent: string | null }>,
  );
  if (circle !== undefined)
    refuse(
      name,
      `message ${shown(circle)} of conversation ${i + 1}, which is its own ancestor`,
      'parents without a circle',
    );
  const conversation = conversationIn(value);
  if (!conversation)
    return refuse(
      name,
      `conversation ${i + 1} with the id ${shown((value as Record<string, unknown>).id)}`,
      'an id of letters, digits, - and _',
    );
  const lost = given.find(([id]) => !Object.hasOwn(conversation.messages, id));
  if (lost)
    refuse(
      name,
      `message ${shown(lost[0])} of conversation ${i + 1}: ${JSON.stringify(lost[1]).slice(0, 80)}`,
      'a valid id, role "user" or "assistant", and content as a text',
    );
  const { deleted: _, ...whole } = conversation;
  return whole;
}

const textIn = (content: unknown): string | undefined => {
  if (isText(content)) return content;
  if (!Array.isArray(content)) return undefined;
  const texts = content.map((piece) =>
    isObject(piece) && isText(piece.text)
      ? piece.text
      : isObject(piece) && isText(piece.type)
        ? `[${piece.type}]`
        : undefined,
  );
  return texts.every(isText) ? texts.join('\n') : undefined;
};

/**
 * Messages in the form of OpenAI, tool calls among them. System messages are settings of this page and are left out.
 */
function fromMessages(list: unknown[], name: string, title: unknown): Conversation {
  if (list.length === 0) refuse(name, 'an empty list', 'at least one message');
  if (list.length > MOST_MESSAGES) refuse(name, `${list.length} messages`, `at most ${MOST_MESSAGES}`);
  const conversation = newConversation();
  const add = (message: Pick<ChatMessage, 'role' | 'content'> & Partial<ChatMessage>): ChatMessage => {
    const id = newId();
    const added: ChatMessage = {
      ...message,
      id,
      parent: conversation.leaf,
      created: conversation.created + Object.keys(conversation.messages).length,
      revision: 0,
      ...(message.role === 'assistant' && { finish: 'stop' as const }),
    };
    conversation.messages[id] = added;
    conversation.leaf = id;
    return added;
  };
  /** calls that have no result yet, by id */
  const open = new Map<unknown, KeptCall>();
  /** the reply whose tools have run, and that has not ended in words */
  let acting: ChatMessage | undefined;
  list.forEach((value, i) => {
    const where = `message ${i + 1}`;
    if (!isObject(value)) return refuse(name, `${where}: ${shown(value)}`, 'an object with role and content');
    const { role, content, tool_calls: calls, tool_call_id: answers } = value;
    const text = content === null || content === undefined ? '' : textIn(content);
    if (text === undefined)
      return refuse(name, `${where} with content ${shown(content)}`, 'a text, or a list of parts with text');
    if (role === 'system' || role === 'developer') return undefined;
    if (role === 'tool') {
      const call = open.get(answers) ?? open.values().next().value;
      if (call) Object.assign(call, { summary: text, brief: text, value: { result: text } });
      return undefined;
    }
    if (role !== 'user' && role !== 'assistant')
      return refuse(name, `${where} with the role ${shown(role)}`, 'system, user, assistant or tool');
    if (role === 'assistant' && Array.isArray(calls) && calls.length) {
      const step = stepOf(text, calls, open);
      if (acting) acting.steps = [...(acting.steps ?? []), step];
      else acting = add({ role, content: '', steps: [step] });
      return undefined;
    }
    if (role === 'assistant' && acting) acting.content = text;
    else add({ role, content: text });
    acting = undefined;
    return undefined;
  });
  if (!conversation.leaf) refuse(name, 'only system messages', 'messages of a user or an assistant');
  if (isText(title) && title.trim())
    Object.assign(conversation, { title: plainTitle(title), named: conversation.created });
  return { ...conversation, title: titleOf(conversation) };
}

function stepOf(text: string, calls: unknown[], open: Map<unknown, KeptCall>): Step {
  open.clear();
  const kept = calls.map((value): KeptCall => {
    const given = isObject(value) && isObject(value.function) ? value.function : {};
    const name = isText(given.name) ? given.name : 'tool';
    let values: unknown = given.arguments;
    if (isText(values)) {
      try {
        values = depthOf(values) > MOST_DEPTH ? {} : JSON.parse(values);
      } catch {
        values = {};
      }
    }
    const call: KeptCall = {
      name,
      title: name,
      arguments: isObject(values) ? values : {},
      state: 'done',
      summary: '',
      value: {},
      brief: '',
      repairs: [],
      ms: 0,
    };
    open.set(isObject(value) ? value.id : undefined, call);
    return call;
  });
  const written = kept.map((call) => JSON.stringify({ name: call.name, arguments: call.arguments })).join(', ');
  return { text: `${text}<|tool_call_start|>[${written}]<|tool_call_end|>`, calls: kept };
}

/** @throws ImportError */
export function fromMarkdown(text: string, name: string): Conversation {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const first = PART.exec(lines[0] ?? '');
  if (first?.[1] !== 'conversation')
    refuse(
      name,
      `a first line ${shown(lines[0] ?? '')}`,
      '<!-- rivulet conversation -->, as in Markdown exported from this page',
    );
  const conversation = newConversation();
  let message: ChatMessage | undefined;
  let body: string[] = [];
  let attached: { name: string; lines: string[] } | undefined;
  let skipping = false;
  /** the heading with the speaker's name has been read */
  let headed = false;
  const close = (): void => {
    if (message) message.content = unguarded(body.join('\n').trim());
    body = [];
  };
  for (const [i, line] of lines.entries()) {
    const [, kind, label] = PART.exec(line) ?? [];
    if (kind === 'user' || kind === 'assistant') {
      close();
      message = {
        id: newId(),
        parent: conversation.leaf,
        role: kind,
        content: '',
        created: conversation.created + i,
        revision: 0,
        ...(kind === 'assistant' && { finish: 'stop', ...(label && { model: label }) }),
      };
      conversation.messages[message.id] = message;
      conversation.leaf = message.id;
      headed = false;
    } else if (kind === 'file') attached = { name: label ?? 'file', lines: [] };
    else if (kind === 'tools') skipping = true;
    else if (kind === 'end') {
      if (attached && message)
        message.files = [...(message.files ?? []), { name: attached.name, text: unguarded(unfenced(attached.lines)) }];
      attached = undefined;
      skipping = false;
    } else if (attached) attached.lines.push(line);
    else if (!message && line.startsWith('# '))
      Object.assign(conversation, { title: plainTitle(line.slice(2)), named: conversation.created });
    else if (message && !headed && line.startsWith('## ')) headed = true;
    else if (message && !skipping) body.push(line);
  }
  close();
  if (!conversation.leaf)
    refuse(name, 'no messages', 'parts that begin with <!-- rivulet user --> or <!-- rivulet assistant -->');
  return { ...conversation, title: titleOf(conversation) };
}

/** The lines between the first fence and the last. */
function unfenced(lines: string[]): string {
  const from = lines.findIndex((line) => /^`{3,}$/.test(line));
  const to = lines.findLastIndex((line) => /^`{3,}$/.test(line));
  return from >= 0 && to > from ? lines.slice(from + 1, to).join('\n') : lines.join('\n').trim();
}
