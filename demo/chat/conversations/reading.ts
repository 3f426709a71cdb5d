/**
 * What the model reads of the conversation on the page: the first message, how full the context is, and whether a new
 * message fits.
 */
import type { Model } from '../../../src/index';
import { find } from '../dom';
import type { AttachedFile, Turn } from '../history';
import type { ModelSession } from '../models/model_session';
import { turnMessages } from '../reply_loop';
import { systemPrompt } from '../json/form';
import type { Settings } from '../settings';
import { createTokenCounter, firstRead, roomIn, type Cost, type Room, type TokenCounter } from './context';
import type { ChatMessage } from './conversation';
import type { Draft } from './drafts';
import { farTooLong, tooLong } from './composer';

export interface Reading {
  /** id of the first message that is read, where the model does not read them all */
  readonly from: string | undefined;
  /** Finds what the model reads of these messages. @returns the index of the first */
  measure(messages: readonly ChatMessage[]): Promise<number>;
  /** @returns why a message cannot be sent */
  check(draft: Draft): Promise<string | undefined>;
  /** How many tokens a picture has; undefined where the model does not see it, or is not there. */
  pictureTokens(file: AttachedFile): Promise<number | undefined>;
}

export interface ReadingParts {
  session: Pick<ModelSession, 'model' | 'isDemo'>;
  settings(): Settings;
  definitions(): object[];
}

interface Counts {
  counter: TokenCounter;
  turns: WeakMap<ChatMessage, { revision: number; tokens: Promise<number> }>;
}

const AT_ONCE = 40;

export function createReading({ session, settings, definitions }: ReadingParts): Reading {
  const gauge = find('context-gauge', HTMLElement);
  const models = new WeakMap<Model, Counts>();
  let from: string | undefined;
  let run = 0;

  const countsOf = (model: Model): Counts => {
    if (!models.has(model)) models.set(model, { counter: createTokenCounter(model), turns: new WeakMap() });
    return models.get(model)!;
  };
  /** Counting ends above the context: the figure is then too small, and still too large for it. */
  const countTurn = async (model: Model, turn: Turn): Promise<number> => {
    const { counter } = countsOf(model);
    const pictures = (turn.files ?? []).flatMap(({ picture }) => picture ?? []);
    const seen = model.info.vision ? pictures : [];
    const read = seen.length ? { ...turn, files: turn.files!.filter(({ picture }) => !picture) } : turn;
    const counts = await Promise.all([
      ...turnMessages(read, session.isDemo()).map((message) => counter.message(message, model.info.contextLength)),
      ...seen.map(async ({ width, height }) => (await model.estimateImage(width, height)).tokens),
    ]);
    return counts.reduce((sum, tokens) => sum + tokens, 0);
  };
  const costOf = async (model: Model, message: ChatMessage): Promise<Cost> => {
    const { turns } = countsOf(model);
    const { revision, role } = message;
    let known = turns.get(message);
    if (known?.revision !== revision) turns.set(message, (known = { revision, tokens: countTurn(model, message) }));
    return { tokens: await known.tokens, user: role === 'user' };
  };
  const room = async (model: Model, schema?: string): Promise<Room> => {
    const { system, maxTokens } = settings();
    const asked = systemPrompt(system, schema, session.isDemo());
    const base = await countsOf(model).counter.base(asked, schema === undefined ? definitions() : []);
    return roomIn(model.info.contextLength, base, maxTokens);
  };

  function showGauge(full: number): void {
    gauge.hidden = full < 0.8;
    gauge.textContent = gauge.hidden ? '' : `Context ${Math.min(100, Math.round(full * 100))}\u00a0% full`;
    gauge.title = gauge.hidden
      ? ''
      : 'How much of what the model can read is in use. When it is full, the oldest messages are left out.';
  }

  return {
    get from() {
      return from;
    },
    async measure(messages) {
      const mine = ++run;
      const { model } = session;
      let start = 0;
      let full = 0;
      try {
        if (model && messages.length) {
          const { context, base, budget, block } = await room(
            model,
            messages.findLast(({ role }) => role === 'user')?.schema,
          );
          const costs: Cost[] = [];
          // a few at a time: each is a message to the worker, and a conversation may have thousands
          for (let i = 0; i < messages.length; i += AT_ONCE)
            costs.push(...(await Promise.all(messages.slice(i, i + AT_ONCE).map((message) => costOf(model, message)))));
          start = firstRead(costs, budget, block);
          full = (base + costs.slice(start).reduce((sum, { tokens }) => sum + tokens, 0)) / context;
        }
      } catch {
        // the model has been unloaded meanwhile
      }
      if (mine === run) {
        from = start > 0 ? messages[start].id : undefined;
        showGauge(full);
      }
      return start;
    },
    async pictureTokens({ picture }) {
      const { model } = session;
      if (!model || !picture || !model.info.vision) return undefined;
      return (await model.estimateImage(picture.width, picture.height).catch(() => undefined))?.tokens;
    },
    async check({ text, files, schema }) {
      const { model } = session;
      if (!model) return undefined;
      try {
        const pictures = files.filter(({ picture }) => picture);
        if (pictures.length && !model.info.vision)
          return `${pictures[0].name} is a picture, and this model reads only text. Take the picture out, or choose a model that sees.`;
        const { budget, context } = await room(model, schema);
        // a token has at least one byte
        const size =
          new Blob([text, ...files.flatMap((file) => [file.name, file.text])]).size + 20 * (files.length + 1);
        if (size < budget && !pictures.length) return undefined;
        const turn: Turn = { role: 'user', content: text, files };
        const tokens = await countTurn(model, turn);
        if (tokens <= budget) return undefined;
        const what = text || files.length !== 1 ? 'This message has' : `${files[0].name} has`;
        if (tokens <= context || budget <= 0) return tooLong(what, tokens, budget);
        if (pictures.length) return tooLong(what, tokens, budget);
        const read = String(turnMessages(turn, session.isDemo())[0].content);
        return farTooLong(what, read.length, await countsOf(model).counter.characters(read, budget));
      } catch (error) {
        // else the model has been unloaded meanwhile: the message waits for the next one
        return (error as Error).name === 'ContextError' ? tooLong('This message has', 0, 0) : undefined;
      }
    },
  };
}
