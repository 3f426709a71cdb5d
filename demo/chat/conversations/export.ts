/** Conversations as files: Markdown of the branch that is shown, or JSON of everything. */
import { callText } from '../tool_cards';
import { jsonBlock } from '../json/form';
import { branch, type ChatMessage, type Conversation } from './conversation';

export const FORMAT = 'rivulet-conversations';
export const VERSION = 1;

/** @param pictures data URLs by the ids of pictures */
export function toJson(conversations: readonly Conversation[], pictures: Record<string, string> = {}): string {
  return JSON.stringify(
    {
      format: FORMAT,
      version: VERSION,
      exported: new Date().toISOString(),
      conversations: conversations.map(withoutDeleted),
      ...(Object.keys(pictures).length && { pictures }),
    },
    undefined,
    1,
  );
}

/** What is deleted is not given away. Its place stays where other messages hang on it. */
function withoutDeleted({ deleted: _, ...conversation }: Conversation): Conversation {
  const parents = new Set(Object.values(conversation.messages).map(({ parent }) => parent));
  const kept = Object.values(conversation.messages).filter(({ id, deleted }) => !deleted || parents.has(id));
  const clean = ({ steps, files, note, offer, reasoning, schema, json, ...message }: ChatMessage): ChatMessage =>
    message.deleted
      ? { ...message, content: '' }
      : {
          ...message,
          ...(reasoning && { reasoning }),
          ...(steps && { steps }),
          ...(files && { files }),
          ...(note && { note }),
          ...(offer && { offer }),
          ...(schema !== undefined && { schema }),
          ...(json && { json }),
        };
  return { ...conversation, messages: Object.fromEntries(kept.map((message) => [message.id, clean(message)])) };
}

/** A comment before each part, which a reader does not see: an import finds the parts by it. */
export const PART = /^<!-- rivulet (conversation|user|assistant|file|tools|end)(?: "([^\n]*)")? -->$/;
const part = (kind: string, name?: string): string =>
  `<!-- rivulet ${kind}${name === undefined ? '' : ` "${name.replace(/\s+/g, ' ').replaceAll('--', '––')}"`} -->`;
/** A line of a message that looks like such a comment gets a backslash, which an import takes away. */
const guarded = (text: string): string => text.replace(/^(\\*<!-- rivulet )/gm, '\\$1');
export const unguarded = (text: string): string => text.replace(/^\\(\\*<!-- rivulet )/gm, '$1');

/** A fence that the text does not contain. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map(([ticks]) => ticks.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}

export function toMarkdown(conversation: Conversation): string {
  const parts = branch(conversation).flatMap(({ role, content, model, steps = [], files = [], json }) => [
    part(role, role === 'assistant' ? model : undefined),
    `## ${role === 'user' ? 'You' : (model ?? 'Rivulet')}`,
    ...files.flatMap(({ name, text, picture }) =>
      picture ? [`*Picture: ${name}*`] : [part('file', name), `**${name}**`, guarded(fenced(text)), part('end')],
    ),
    ...steps.flatMap(({ calls }) =>
      calls.map(
        (call) => `${part('tools')}\n- **${call.title}** \`${callText(call)}\`: ${call.summary}\n${part('end')}`,
      ),
    ),
    guarded(json ? jsonBlock(content) : content),
  ]);
  return `${[part('conversation'), `# ${conversation.title}`, ...parts].filter(Boolean).join('\n\n')}\n`;
}

/** 'Packing list for Lisbon.md' */
export function fileName(title: string, ending: string): string {
  const safe = title
    .replace(/[^\p{L}\p{N} _.-]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .replace(/^[. ]+|[. ]+$/g, '')
    .slice(0, 60)
    .trim();
  return `${safe || 'Conversation'}.${ending}`;
}

export function saveFile(name: string, text: string, type: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
