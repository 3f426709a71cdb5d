/** What is written and not sent, one draft for each conversation, kept over a reload. */
import { fileIn, isObject, type AttachedFile } from '../history';

export interface Draft {
  text: string;
  files: AttachedFile[];
}

const PREFIX = 'rivulet-chat.draft.';
/** the draft of a chat that has no message yet */
export const NEW_CHAT = 'new';

export const isEmpty = ({ text, files }: Draft): boolean => text.trim() === '' && files.length === 0;

export function keepDraft(id: string, draft: Draft): void {
  try {
    if (isEmpty(draft)) localStorage.removeItem(PREFIX + id);
    else localStorage.setItem(PREFIX + id, JSON.stringify(draft));
  } catch {
    // the browser's storage is full or blocked: the draft lasts until the page is closed
  }
}

export function keptDraft(id: string): Draft {
  let given: unknown;
  try {
    given = JSON.parse(localStorage.getItem(PREFIX + id) ?? 'null');
  } catch {
    // damaged or blocked
  }
  const { text, files } = isObject(given) ? given : {};
  return {
    text: typeof text === 'string' ? text : '',
    files: Array.isArray(files) ? files.map(fileIn).filter((file) => file !== undefined) : [],
  };
}

export const joined = (drafts: readonly Draft[]): Draft => ({
  text: drafts
    .map(({ text }) => text)
    .filter(Boolean)
    .join('\n\n'),
  files: drafts.flatMap(({ files }) => files),
});
