/**
 * `<rivulet-chat>`: a conversation with a model, in a shadow root of its own. docs/element.md describes it for its
 * users.
 */
import type { AnswerPart, ChatOptions, GenerationResult, Message, Model, ModelInfo, ParsedAnswer } from '../index';
import { checkTools, definitionOf, parseTools, resultText, runCall, type ChatTool } from './chat_tools';
import { ElementModel } from './element_model';
import { chatOptionsOf, MODEL_ATTRIBUTES } from './element_options';
import { elementError, getEngine, type Engine } from './engine';
import { createView, type ChatView } from './rivulet_chat_view';
import { checkMessages, shownMessages, type TextMessage } from './text_messages';
import { untilAborted } from './until_aborted';
import { visibleWords } from './visible_words';

export type { ChatTool, ToolCallDetail, ToolParameters } from './chat_tools';

/** How often an answer may call tools before it has to end. */
const MOST_ROUNDS = 4;

// on a server, where the module may be imported, there are no elements
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/**
 * The element `<rivulet-chat model="…">`. Elements with the same model and options share one worker. The model loads
 * with the first message, or at once with `loading="eager"`.
 *
 * Events, which bubble and cross shadow roots: `rivulet-ready` (detail: the model's info), `rivulet-progress`
 * (Progress), `rivulet-message` (each message of the user and of the assistant), `rivulet-toolcall` (ToolCallDetail)
 * and `rivulet-error` (an Error with name, what, got, cure).
 */
export class RivuletChat extends Base {
  static readonly formAssociated = true;
  static readonly observedAttributes = [
    'label',
    'placeholder',
    'greeting',
    'disabled',
    'required',
    ...MODEL_ATTRIBUTES,
  ];

  readonly #internals: ElementInternals;
  readonly #view: ChatView;
  readonly #model: ElementModel;
  #tools: ChatTool[] | undefined;
  #messages: TextMessage[] = [];
  /** messages before this one are no longer read: they do not fit */
  #firstRead = 0;
  #abort: AbortController | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #formDisabled = false;
  /** takes the error of a load out, if there is one */
  #forgetProblem: (() => void) | undefined;

  constructor() {
    super();
    this.#internals = this.attachInternals();
    this.#view = createView(this.attachShadow({ mode: 'open' }), {
      send: (text) => void this.send(text).catch(() => undefined), // the element shows it
      stop: () => this.stop(),
    });
    this.#model = new ElementModel(this, this.#view, (type, detail) => this.#tell(type, detail));
    // a label of the element was clicked
    this.addEventListener('click', (event) => event.composedPath()[0] === this && this.focus());
    this.addEventListener(
      'toggle',
      (event) => event.target === this && (event as ToggleEvent).newState === 'open' && this.focus(),
    );
  }

  /** The model's source: a hub id or a URL, relative to the page. */
  get model(): string {
    return this.getAttribute('model') ?? '';
  }
  set model(source: string) {
    this.setAttribute('model', source);
  }

  /** The tools that the model may call. Setting it throws a RequestError if the value is no list of tools. */
  get tools(): readonly ChatTool[] {
    const json = this.getAttribute('tools');
    return this.#tools ?? (json ? parseTools(json) : []);
  }
  set tools(tools: readonly ChatTool[]) {
    this.#tools = checkTools(tools);
  }

  /**
   * The conversation so far. A page that keeps it sets it again later. Setting it throws a RequestError if the value is
   * no list of messages.
   */
  get messages(): Message[] {
    return structuredClone(this.#messages);
  }
  set messages(messages: readonly Message[]) {
    const checked = checkMessages(messages);
    this.stop();
    this.#messages = checked;
    this.#firstRead = 0;
    this.#view.show(shownMessages(checked));
    this.#changed();
  }

  /** The conversation as JSON, which a form sends under the element's `name`. Empty before the first message. */
  get value(): string {
    return this.#messages.length ? JSON.stringify(this.#messages) : '';
  }

  /** What holds of the loaded model; undefined before it is loaded. */
  get info(): ModelInfo | undefined {
    return this.#model.loaded?.info;
  }

  get form(): HTMLFormElement | null {
    return this.#internals.form;
  }
  get name(): string {
    return this.getAttribute('name') ?? '';
  }
  set name(name: string) {
    this.setAttribute('name', name);
  }
  get disabled(): boolean {
    return this.hasAttribute('disabled');
  }
  set disabled(disabled: boolean) {
    this.toggleAttribute('disabled', disabled);
  }

  /** Whether a form needs a message in the conversation. */
  get required(): boolean {
    return this.hasAttribute('required');
  }
  set required(required: boolean) {
    this.toggleAttribute('required', required);
  }
  get validity(): ValidityState {
    return this.#internals.validity;
  }
  get validationMessage(): string {
    return this.#internals.validationMessage;
  }
  get willValidate(): boolean {
    return this.#internals.willValidate;
  }
  checkValidity(): boolean {
    return this.#internals.checkValidity();
  }
  /** As `checkValidity`. If the element is not valid, the browser says so at its input field. */
  reportValidity(): boolean {
    return this.#internals.reportValidity();
  }

  connectedCallback(): void {
    this.#describe();
    if (this.getAttribute('loading') === 'eager') this.load().catch(() => undefined); // the element shows it
  }

  disconnectedCallback(): void {
    // an element that is only moved is connected again in the same task
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.stop();
      this.#model.release();
    });
  }

  attributeChangedCallback(name: string, old: string | null, value: string | null): void {
    if (old === value) return;
    if (MODEL_ATTRIBUTES.includes(name)) {
      this.stop();
      this.#model.release();
      // the element shows it
      if (this.isConnected && this.getAttribute('loading') === 'eager') this.load().catch(() => undefined);
    }
    this.#describe();
  }

  override focus(options?: FocusOptions): void {
    this.#view.focus(options);
  }

  formDisabledCallback(disabled: boolean): void {
    this.#formDisabled = disabled;
    this.#describe();
  }

  formResetCallback(): void {
    this.clear();
  }

  formStateRestoreCallback(state: string): void {
    try {
      this.messages = JSON.parse(state) as Message[];
    } catch {
      // the browser kept something else
    }
  }

  /**
   * Loads the model, which also the first message does.
   * @throws the errors of `load`; the element shows them, too
   */
  async load(): Promise<ModelInfo> {
    try {
      const { info } = await this.#model.load();
      this.#forgetProblem?.();
      return info;
    } catch (error) {
      // an answer that waits for the model says the same
      if (!this.#abort) this.#forgetProblem = this.#fail(error, () => this.load().catch(() => undefined));
      throw error;
    } finally {
      this.#view.setProgress(undefined);
    }
  }

  /**
   * Sends a message, after the answers to earlier ones.
   * @returns the words of the answer; what there was of them if it was stopped
   * @throws a RequestError for a message without text; the errors of `load` and `chat`, which the element shows, too
   */
  send(text: string): Promise<string> {
    const turn = this.#turn.then(() => this.#answer(String(text ?? '')));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** Stops the answer that is being written, or the load that it waits for. Its words stay. */
  stop(): void {
    this.#abort?.abort();
  }

  /** Forgets the conversation. */
  clear(): void {
    this.messages = [];
  }

  async #answer(text: string): Promise<string> {
    if (!text.trim())
      throw elementError('RequestError', 'The message is not sent', 'no text', 'Write a message first.');
    const start = this.#messages.length;
    this.#add({ role: 'user', content: text });
    this.#view.addMessage('user', text);
    return this.#reply(start);
  }

  /** Answers the message at `start`, which is the user's. */
  async #reply(start: number): Promise<string> {
    const abort = (this.#abort = new AbortController());
    const conversation = this.#messages;
    const takeBack = this.#view.begin();
    this.#view.setBusy(true);
    try {
      const tools = this.tools;
      const model = await untilAborted(this.#model.load(), abort.signal);
      const engine = await getEngine();
      return await this.#rounds(conversation, model, engine, tools, abort.signal);
    } catch (error) {
      if (abort.signal.aborted) {
        // a download that nobody else waits for ends, and goes on from there later
        if (!this.#model.loaded) this.#model.release();
        return '';
      }
      // what a failed answer has added goes; the question stays
      if (this.#messages === conversation) {
        conversation.length = start + 1;
        takeBack();
        this.#changed();
        const again = (): unknown =>
          this.#messages === conversation && conversation.length === start + 1 ? this.#reply(start) : undefined;
        this.#fail(error, () => void (this.#turn = this.#turn.then(again).catch(() => undefined)));
      }
      throw error;
    } finally {
      if (this.#abort === abort) this.#abort = undefined;
      this.#view.setProgress(undefined);
      this.#view.setBusy(false);
    }
  }

  /**
   * Answers, tool calls, their results, and answers again, until one has no calls. Nothing is added to a conversation
   * that was replaced.
   */
  async #rounds(
    conversation: TextMessage[],
    model: Model,
    { readCalls }: Engine,
    tools: readonly ChatTool[],
    signal: AbortSignal,
  ): Promise<string> {
    const read = (answer: string): ParsedAnswer => readCalls(answer, { tools });
    for (let round = 1; ; round++) {
      const show = this.#view.addReply();
      const written = { text: '', reasoning: '' };
      const { text, reasoning } = await this.#generate(model, tools, signal, (part) => {
        written[part.type] += part.text;
        show(visibleWords(written.text, read), written.reasoning);
      });
      const { calls, broken } = read(text);
      const words = visibleWords(text, read);
      if (this.#messages !== conversation) return words;
      show(words, reasoning);
      if (!signal.aborted || words)
        this.#add({ role: 'assistant', content: text, ...(reasoning && { reasoning_content: reasoning }) });
      if (signal.aborted || !(calls.length + broken.length)) return words;
      for (const call of calls) {
        const result = await untilAborted(
          runCall(call, tools, (detail) => this.#tell('rivulet-toolcall', detail)),
          signal,
        ).catch(() => undefined);
        if (result === undefined || this.#messages !== conversation) return words;
        this.#view.addCall(`${call.name}(${Object.entries(call.arguments).map(([key, value]) => `${key}: ${resultText(value)}`).join(', ')}) → ${result}`); // prettier-ignore
        conversation.push({ role: 'tool', content: result });
      }
      for (const block of broken)
        conversation.push({ role: 'tool', content: `This call cannot be read: ${block.slice(0, 200)}` });
      this.#changed();
      if (round === MOST_ROUNDS) {
        this.#view.addNote(`The answer ends here: it has called tools ${MOST_ROUNDS} times.`);
        return words;
      }
    }
  }

  /** One answer. The oldest messages are left out where the conversation is longer than the model's context. */
  async #generate(
    model: Model,
    tools: readonly ChatTool[],
    signal: AbortSignal,
    onPart: (part: AnswerPart) => void,
  ): Promise<GenerationResult> {
    const options: ChatOptions = { ...(tools.length && { tools: tools.map(definitionOf) }), ...chatOptionsOf(this) };
    const system = this.getAttribute('system');
    for (;;) {
      const read = this.#messages.slice(this.#firstRead);
      const stream = model.chat([...(system ? [{ role: 'system', content: system } as const] : []), ...read], {
        ...options,
        signal,
      });
      try {
        for await (const part of stream.parts) onPart(part);
      } catch (error) {
        const next = this.#messages.findIndex(({ role }, i) => i > this.#firstRead && role === 'user');
        if ((error as Error).name === 'ContextError' && next > 0) {
          if (!this.#firstRead)
            this.#view.addNote('The conversation is long: the model no longer reads its first messages.');
          this.#firstRead = next;
          continue;
        }
        if ((error as Error).name !== 'AbortError') throw error; // also where the model was unloaded
      }
      return stream.result;
    }
  }

  #add(message: TextMessage): void {
    this.#messages.push(message);
    this.#changed();
    this.#tell('rivulet-message', { ...message });
  }

  #changed(): void {
    this.#internals.setFormValue?.(this.value || null);
    this.#validate();
  }

  #validate(): void {
    const missing = this.required && !this.#messages.length;
    this.#internals.setValidity?.({ valueMissing: missing }, missing ? 'Send a message first.' : '', this.#view.input);
  }

  #describe(): void {
    const text = (name: string): string | undefined => this.getAttribute(name) ?? undefined;
    this.#view.describe({
      label: text('label'),
      placeholder: text('placeholder'),
      greeting: text('greeting'),
      disabled: this.disabled || this.#formDisabled,
      required: this.required,
    });
    this.#validate();
  }

  /** @returns what takes the error out again */
  #fail(error: unknown, again: () => void): () => void {
    const { name, message, what, cure } = error as Error & { what?: string; cure?: string };
    if (name !== 'AbortError') this.#tell('rivulet-error', error);
    return this.#view.addProblem(
      name === 'AbortError' ? 'The model was not loaded.' : what ? `${what}. ${cure ?? ''}` : message,
      message,
      again,
    );
  }

  #tell(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}
