/**
 * What the model reads of a long conversation: how many tokens each message has, and which of the oldest are left out.
 */
import type { Message, Model } from '../../../src/index';

/** A turn as the model reads it: its messages stay together, calls with their results. */
export interface Cost {
  tokens: number;
  /** what is read may begin here */
  user: boolean;
}

/**
 * Which turn is the first that is read. When a request does not fit any more, the oldest turns are left out until a
 * block is free: the beginning then stays the same for many turns, and the model need not read everything again. It
 * depends on the turns alone, so a reload changes nothing.
 */
export function firstRead(costs: readonly Cost[], budget: number, block: number): number {
  let start = 0;
  let sum = 0;
  costs.forEach(({ tokens, user }, i) => {
    sum += tokens;
    if (!user || sum <= budget) return;
    const drop = (): void => void (sum -= costs[start++].tokens);
    while (start < i && sum > Math.max(0, budget - block)) drop();
    while (start < i && !costs[start].user) drop();
  });
  return start;
}

/** Leaves out the oldest request with all that followed it, where another request comes after. */
export function withoutOldest(messages: readonly Message[]): Message[] | undefined {
  const from = messages.findIndex(({ role }) => role !== 'system');
  const next = messages.findIndex(({ role }, i) => i > from && role === 'user');
  return from < 0 || next < 0 ? undefined : [...messages.slice(0, from), ...messages.slice(next)];
}

/** The room of a context. */
export interface Room {
  context: number;
  /** system prompt, tools and the frame of a reply */
  base: number;
  /** tokens for the conversation, so that a reply fits after it */
  budget: number;
  /** left out at once */
  block: number;
}

export function roomIn(context: number, base: number, maxTokens = Infinity): Room {
  const block = Math.floor(context / 4);
  return { context, base, budget: context - base - Math.min(maxTokens, block), block };
}

export interface TokenCounter {
  /**
   * Tokens of a message with its frame. Counting ends above a limit: the figure is then of a part of the text.
   * @param atMost the limit; without it a text of megabytes is read whole
   */
  message(message: Message, atMost?: number): Promise<number>;
  /** About how many characters of a text this many tokens have, by its beginning. */
  characters(text: string, tokens: number): Promise<number>;
  /** tokens of a prompt without a conversation */
  base(system: string, tools: readonly object[]): Promise<number>;
}

/** Characters of a text that are read for each token of a limit; most tokens have fewer. */
const CHARACTERS_OF_TOKEN = 8;

/** A frame where the template does not render one message alone. */
const USUAL_FRAME = 6;

export function createTokenCounter(model: Pick<Model, 'render' | 'tokenize'>): TokenCounter {
  const count = async (text: string, special = true): Promise<number> =>
    (await model.tokenize(text, { special })).length;
  /** Reads longer and longer beginnings of a text, until they have more tokens than the limit or there is no more. */
  const countUpTo = async (text: string, atMost: number, special: boolean): Promise<number> => {
    for (let length = CHARACTERS_OF_TOKEN * (atMost + 1); ; length *= 4) {
      const tokens = await count(text.slice(0, length), special);
      if (tokens > atMost || length >= text.length) return tokens;
    }
  };
  const rendered = async (messages: Message[], options?: Parameters<Model['render']>[1]): Promise<number> =>
    count(await model.render(messages, options));
  const frames = new Map<string, Promise<number>>();
  /** what a message of this role needs beside its text: the second of two, because the first comes with BOS */
  const frame = (role: string): Promise<number> => {
    if (!frames.has(role)) {
      const empty = { role, content: '' };
      const alone = { addGenerationPrompt: false };
      frames.set(
        role,
        Promise.all([rendered([empty, empty], alone), rendered([empty], alone)]).then(
          ([two, one]) => two - one,
          () => USUAL_FRAME,
        ),
      );
    }
    return frames.get(role)!;
  };
  let last: { key: string; tokens: Promise<number> } | undefined;
  return {
    async message({ role, content }, atMost = Infinity) {
      // the markers of calls are tokens of their own in a reply, and plain text elsewhere
      return (await frame(role)) + (await countUpTo(String(content ?? ''), atMost, role === 'assistant'));
    },
    async characters(text, tokens) {
      const part = text.slice(0, CHARACTERS_OF_TOKEN * tokens);
      const share = Math.min(1, tokens / (await count(part, false)));
      return Number((part.length * share).toPrecision(2));
    },
    base(system, tools) {
      const key = JSON.stringify([system, tools]);
      if (last?.key !== key) {
        const options = tools.length ? { tools } : {};
        const start = async (): Promise<number> => {
          const given: Message[] = [
            ...(system.trim() ? [{ role: 'system', content: system }] : []),
            { role: 'user', content: '' },
          ];
          return (await rendered(given, options)) - (await frame('user'));
        };
        last = { key, tokens: start() };
      }
      return last.tokens;
    },
  };
}
