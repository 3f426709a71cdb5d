/** What is written and not sent, one draft for each conversation, kept over a reload. */
import { schemaProblem } from '../json/form';
import { fileIn, isObject, type AttachedFile } from '../history';

export interface Draft {
  text: string;
  files: AttachedFile[];
  /** the reply is JSON of this form (json/form.ts) */
  schema?: string;
}

const PREFIX = 'rivulet-chat.draft.';
/** the draft of a chat that has no message yet */
export const NEW_CHAT = 'new';

export const isEmpty = ({ text, files }: Draft): boolean => text.trim() === '' && files.length === 0;

export function keepDraft(id: string, draft: Draft): void {
  try {
    if (isEmpty(draft) && draft.schema === undefined) localStorage.removeItem(PREFIX + id);
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
  const { text, files, schema } = isObject(given) ? given : {};
  return {
    text: typeof text === 'string' ? text : '',
    files: Array.isArray(files) ? files.map(fileIn).filter((file) => file !== undefined) : [],
    ...(typeof schema === 'string' && !schemaProblem(schema) && { schema }),
  };
}

/** The files of all drafts. */
export function draftFiles(): AttachedFile[] {
  try {
    return Object.keys(localStorage)
      .filter((key) => key.startsWith(PREFIX))
      .flatMap((key) => keptDraft(key.slice(PREFIX.length)).files);
  } catch {
    return [];
  }
}

/** One reply is to all of them: of their forms, the last holds. */
export function joined(drafts: readonly Draft[]): Draft {
  const { schema } = drafts.findLast((draft) => draft.schema !== undefined) ?? {};
  return {
    text: drafts
      .map(({ text }) => text)
      .filter(Boolean)
      .join('\n\n'),
    files: drafts.flatMap(({ files }) => files),
    ...(schema !== undefined && { schema }),
  };
}
