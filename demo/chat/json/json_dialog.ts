/** The dialog in which replies as JSON are switched on and off, with the JSON Schema that they fit. */
import { announce, element, find } from '../dom';
import { explain } from '../explain';
import { iconButton } from '../icons';
import { responseFormat, schemaProblem } from './form';
import type { JsonButtonParts } from './json_button';

const EXAMPLE = `{
  "type": "object",
  "properties": {
    "title": { "type": "string" },
    "minutes": { "type": "integer", "minimum": 1 },
    "tags": { "type": "array", "items": { "type": "string" }, "maxItems": 3 }
  },
  "required": ["title", "minutes", "tags"],
  "additionalProperties": false
}`;

export function createJsonDialog({ session, chosen, choose }: JsonButtonParts): { open(): void } {
  const schema = element('textarea', {
    id: 'json-schema',
    rows: 9,
    spellcheck: false,
    dir: 'ltr',
    autocomplete: 'off',
  });
  schema.setAttribute('aria-describedby', 'json-hint json-problem');
  const problem = element('p', { id: 'json-problem', className: 'problem', role: 'alert' });
  const status = element('p', { role: 'status' });
  const accept = element('button', { type: 'submit' }, 'Reply as JSON');
  const off = element('button', { type: 'button' }, 'Reply in words');
  const example = element('button', { type: 'button' }, 'Insert an example');
  const heading = element('h2', { id: 'json-title' }, 'Replies as JSON');
  const form = element(
    'form',
    {},
    element(
      'p',
      {},
      'The replies of this conversation are then JSON and nothing else. The tools of the page are not used for them.',
    ),
    element('label', { htmlFor: 'json-schema' }, 'JSON Schema'),
    schema,
    element('p', { id: 'json-hint' }, 'Without a schema, a reply is any JSON object.'),
    problem,
    status,
    element('div', { className: 'row dialog-foot' }, accept, off, example),
  );
  const dialog = element('dialog', { id: 'json-dialog' });
  const close = iconButton('x', 'Close', () => dialog.close());
  dialog.append(element('div', { className: 'dialog-head' }, heading, close), form);
  dialog.setAttribute('aria-labelledby', heading.id);
  document.body.append(dialog);

  const refuse = (text: string): void => {
    problem.textContent = text;
    schema.ariaInvalid = text ? 'true' : null;
    status.textContent = '';
    if (text) schema.focus();
  };
  const done = (text: string | undefined): void => {
    choose(text);
    dialog.close();
    announce(text === undefined ? 'Replies are in words.' : 'Replies are JSON.');
    find('prompt', HTMLTextAreaElement).focus();
  };

  /** Asks the model whether it can be held to the schema. @returns why not */
  async function problemOf(text: string, signal: AbortSignal): Promise<string | undefined> {
    const problem = schemaProblem(text);
    // without a model, the reply tells
    if (problem || !session.model) return problem;
    if (!session.constrained) {
      status.textContent = 'The model is being loaded again, with what it needs for this.';
      if (!(await session.constrain()))
        return 'The model cannot be loaded with what it needs for this. Check the network, then try again.';
    }
    if (text.trim() === '' || signal.aborted) return undefined;
    status.textContent = 'The schema is being checked.';
    try {
      await session.model.generate('{', { responseFormat: responseFormat(text), maxTokens: 1, reuse: false, signal })
        .result;
      return undefined;
    } catch (error) {
      return explain(error).text;
    }
  }

  let checking: AbortController | undefined;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const mine = (checking = new AbortController());
    refuse('');
    accept.disabled = true;
    const problem = await problemOf(schema.value, mine.signal);
    // the dialog was closed meanwhile
    if (mine.signal.aborted) return;
    accept.disabled = false;
    if (problem) refuse(problem);
    else done(schema.value);
  });
  dialog.addEventListener('close', () => checking?.abort());
  off.addEventListener('click', () => done(undefined));
  example.addEventListener('click', () => {
    schema.value = EXAMPLE;
    refuse('');
    schema.focus();
  });
  return {
    open() {
      const now = chosen();
      // what was typed and not used is still there
      if (now !== undefined) schema.value = now;
      off.hidden = now === undefined;
      accept.textContent = now === undefined ? 'Reply as JSON' : 'Save';
      accept.disabled = false;
      refuse('');
      dialog.showModal();
      schema.focus();
    },
  };
}
