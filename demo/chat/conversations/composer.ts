/** The field in which a message is written: its draft, attached files, sending by Enter, and what is wrong with it. */
import type { Model } from '../../../src/index';
import { element, find } from '../dom';
import { count } from '../format';
import type { AttachedFile } from '../history';
import { icon, iconButton } from '../icons';
import { createCameraButton } from '../pictures/camera_button';
import { pictureImage } from '../pictures/show_picture';
import { readAttached } from './attach';
import { AttachError } from './attach_error';
import { isEmpty, joined, keepDraft, keptDraft, type Draft } from './drafts';

export interface Composer {
  /** The form of the replies to what is sent from here; undefined: words. */
  schema: string | undefined;
  /**
   * Shows the draft of another conversation, after the present one was kept.
   * @param keepTyped what has been typed stays
   */
  open(id: string, keepTyped?: boolean): void;
  /** The chat has got its first message: its draft is kept under its id from now on. */
  rename(id: string): void;
  /** Puts a message back, before what is in the field. */
  putBack(...drafts: Draft[]): void;
  /** Sends a text as if it had been typed. */
  ask(text: string): void;
  attach(files: readonly File[]): Promise<void>;
  /** Says why a message is not sent. */
  say(problem: string): void;
  focus(): void;
  setReplying(replying: boolean): void;
  /** Another model answers: it may see. */
  setModel(model: Model | undefined): void;
}

export interface ComposerParts {
  id: string;
  /** messages that wait are kept with the draft, so that a reload does not lose them */
  waiting(): readonly Draft[];
  /** @returns why it cannot be sent: the text then stays in the field */
  send(draft: Draft): Promise<string | undefined>;
  /** how many tokens fit, and how many the files have, where the model can say it */
  check(draft: Draft): Promise<string | undefined>;
  /** how many tokens a picture has, where the model can say it */
  pictureTokens(file: AttachedFile): Promise<number | undefined>;
  stop(): void;
  /** the form of replies may have changed */
  formShown(schema: string | undefined): void;
}

/** '5,012 tokens … 1,236 fit' */
export const tooLong = (what: string, tokens: number, fit: number): string =>
  fit > 0
    ? `${what} ${count(tokens)} tokens. ${count(fit)} fit into what the model can read. Shorten it, or choose a model with a longer context.`
    : 'The system prompt and the tools fill what the model can read. Switch tools off in Settings, or set a longer context there.';

/** '5,000,000 characters … About 16,000 fit' */
export const farTooLong = (what: string, characters: number, fit: number): string =>
  `${what} ${count(characters)} characters. About ${count(fit)} fit into what the model can read. Shorten it.`;

const KEEP_MS = 300;

export function createComposer({
  id: first,
  waiting,
  send,
  check,
  pictureTokens,
  stop,
  formShown,
}: ComposerParts): Composer {
  const form = find('composer', HTMLFormElement);
  const prompt = find('prompt', HTMLTextAreaElement);
  const note = find('composer-note', HTMLElement);
  const [sendButton, stopButton] = [find('send', HTMLButtonElement), find('stop', HTMLButtonElement)];
  let id = first;
  let files: AttachedFile[] = [];
  let schema: string | undefined;
  let sending = false;
  let replying = false;
  let typed = false;
  let late: ReturnType<typeof setTimeout> | undefined;

  const say = (problem: string): void => void (note.textContent = problem);
  const draft = (): Draft => ({ text: prompt.value, files, ...(schema !== undefined && { schema }) });
  const keep = (): void => {
    clearTimeout(late);
    late = undefined;
    keepDraft(id, joined([...waiting(), draft()]));
  };
  const keepSoon = (): void => void (late ??= setTimeout(keep, KEEP_MS));
  const refresh = (): void => {
    // what is written during a reply can be sent too: it waits
    sendButton.hidden = replying && isEmpty(draft());
    stopButton.hidden = !replying;
  };

  const chips = element('ul', { id: 'attachments', ariaLabel: 'Attached files', hidden: true });
  prompt.before(chips);
  const showFiles = (): void => {
    chips.hidden = files.length === 0;
    chips.replaceChildren(
      ...files.map((file) => {
        const remove = iconButton('x', `Remove ${file.name}`, () => {
          files = files.filter((each) => each !== file);
          say('');
          showFiles();
          prompt.focus();
        });
        const { picture } = file;
        if (!picture) return element('li', {}, icon('file-text'), element('span', { dir: 'auto' }, file.name), remove);
        const size = element('small');
        void pictureTokens(file).then((tokens) => {
          if (tokens !== undefined) size.textContent = `${count(tokens)} tokens`;
        });
        const thumbnail = pictureImage({ ...file, picture }, 'thumbnail');
        return element('li', {}, thumbnail, element('span', { dir: 'auto' }, file.name), size, remove);
      }),
    );
    keep();
    refresh();
  };

  const fill = (given: Draft): void => {
    prompt.value = given.text;
    files = given.files;
    schema = given.schema;
    formShown(schema);
    showFiles();
  };
  // what was typed before the script ran, on a slow connection, stays
  const early = prompt.value;
  const kept = keptDraft(id);
  typed = early !== '' && early !== kept.text;
  fill(typed ? joined([kept, { text: early, files: [] }]) : kept);

  async function attach(given: readonly File[]): Promise<void> {
    say('');
    const problems: string[] = [];
    for (const file of given) {
      try {
        const read = await readAttached(file);
        const problem = await check({ ...draft(), text: '', files: [read] });
        if (problem) problems.push(problem);
        else files = [...files, read];
      } catch (error) {
        problems.push(error instanceof AttachError ? error.message : `${file.name} cannot be read.`);
      }
    }
    showFiles();
    say(problems.join(' '));
    prompt.focus();
  }

  const file = element('input', { type: 'file', multiple: true, hidden: true, ariaLabel: 'Files to attach' });
  file.id = 'attach-file';
  file.addEventListener('change', () => {
    const chosen = [...(file.files ?? [])];
    file.value = '';
    void attach(chosen);
  });
  const attachButton = iconButton('paperclip', 'Attach a picture or a text file', () => file.click());
  attachButton.id = 'attach';
  find('composer-tools', HTMLElement).prepend(attachButton, file);
  const showCamera = createCameraButton((photo) => void attach([photo]));
  prompt.addEventListener('paste', (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])];
    // an office document brings its text and a picture of it
    if (!pasted.length || event.clipboardData!.types.includes('text/plain')) return;
    event.preventDefault();
    void attach(pasted);
  });

  const submit = async (): Promise<void> => {
    const message = { ...draft(), text: prompt.value.trim() };
    if (isEmpty(message) || sending) return;
    sending = true;
    say('');
    const before = prompt.value;
    try {
      const problem = await send(message);
      if (problem) return say(problem);
      // what was typed meanwhile stays
      prompt.value = prompt.value.startsWith(before) ? prompt.value.slice(before.length) : prompt.value;
      files = files.filter((each) => !message.files.includes(each));
      showFiles();
    } finally {
      sending = false;
    }
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
  });
  prompt.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  prompt.addEventListener('input', () => {
    typed = true;
    // laying out megabytes would hold up the page for many seconds
    if (prompt.value.length === prompt.maxLength)
      say(`The message field takes ${count(prompt.maxLength)} characters. What was beyond them was cut off.`);
    keepSoon();
    refresh();
  });
  window.addEventListener('pagehide', keep);
  document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && keep());
  stopButton.addEventListener('click', () => {
    stop();
    prompt.focus();
  });
  document.addEventListener('keydown', (event) => {
    if (
      event.key !== 'Escape' ||
      !replying ||
      event.defaultPrevented ||
      document.querySelector('dialog[open], [popover]:popover-open')
    )
      return;
    stop();
    prompt.focus();
  });

  return {
    get schema() {
      return schema;
    },
    set schema(chosen) {
      schema = chosen;
      formShown(schema);
      keep();
    },
    open(next, keepTyped = false) {
      if (!(keepTyped && typed)) keep();
      id = next;
      say('');
      if (!(keepTyped && typed)) fill(keptDraft(id));
    },
    rename(next) {
      if (next === id) return;
      keepDraft(id, { text: '', files: [] });
      id = next;
      keep();
    },
    putBack: (...drafts) => {
      fill(joined([...drafts, draft()]));
      prompt.focus();
    },
    ask(text) {
      prompt.value = text;
      prompt.focus();
      form.requestSubmit();
    },
    attach,
    say,
    focus: () => prompt.focus(),
    setModel(model) {
      showCamera(model);
      if (files.some(({ picture }) => picture)) showFiles();
    },
    setReplying(now) {
      replying = now;
      refresh();
    },
  };
}
