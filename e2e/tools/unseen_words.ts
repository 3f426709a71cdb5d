/**
 * How far the held-out requests lie from the training text of the embedded model: words and tools that no file of its
 * recipe has.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** The part of a held-out request (eval.ts) that is read here. */
interface HeldOutRequest {
  messages: { content?: unknown }[];
  tools?: object[];
  expect: { calls?: { arguments: object }[] };
}

/**
 * Words that say how a sentence is built, not what it is about. Of words with up to three letters all count as such.
 */
const FUNCTION_WORDS = new Set(
  `about after again also among another any are around been before being below between both could does doing down each either else ever every from gets give have here into it's i'd i'm i've just let's like made make many
  might more most much must need next none only other over please same shall should show some such take tell than that that's the their them then there there's these they this those through under until upon very want
  was were what what's when when's where where's which while who who's will with would your yourself
  aber alle allem allen alles also auch auf aus bei beim bitte dann das dass dein deine dem den denn der des dich die dies diese diesen dir doch durch eine einem einen einer eines etwas euch gern gerade ganz habe haben
  hast hätte hier ihre ihren irgendwo ist jede jeden jetzt kann kannst können mache machen mein meine meinem meinen meiner mich mir mit möchte muss nach nicht noch nur oder ohne sein seine sich sind über unter uns
  viel viele vom von vor wann warum was weil wenn werden wer wie wird wo zeig zum zur zwischen`.split(/\s+/),
);

const wordsIn = (text: string): string[] => text.toLowerCase().match(/\p{L}[\p{L}\p{N}'’]*/gu) ?? [];
const contentWords = (text: string): string[] =>
  wordsIn(text).filter((word) => word.length > 3 && !FUNCTION_WORDS.has(word));

export const readTrainingText = (folder = new URL('../../recipe/', import.meta.url)): string =>
  (readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => /\.(?:py|txt)$/.test(name))
    .map((name) => readFileSync(new URL(name, folder), 'utf8'))
    .join('\n');

export interface Novelty {
  /** requests that a call answers */
  requests: number;
  withUnseenWord: number;
  /** requests with such a word that is not part of an argument's value */
  outsideValues: number;
  /** different tools that are offered */
  tools: number;
  unseenTools: number;
}

export function unseen(cases: readonly HeldOutRequest[], training: string): Novelty {
  const known = new Set(wordsIn(training));
  const knownNames = new Set(training.match(/\w+/g));
  const asked = cases.filter(({ expect }) => expect.calls?.length);
  const has = ({ messages, expect }: HeldOutRequest, outside: boolean): boolean => {
    const values = outside
      ? new Set(
          (expect.calls ?? []).flatMap(({ arguments: given }) =>
            Object.values(given).flatMap((value) => wordsIn(String(value))),
          ),
        )
      : new Set<string>();
    return contentWords(String(messages.at(-1)?.content)).some((word) => !known.has(word) && !values.has(word));
  };
  const names = new Set(cases.flatMap(({ tools = [] }) => tools.map(nameOf)));
  return {
    requests: asked.length,
    withUnseenWord: asked.filter((given) => has(given, false)).length,
    outsideValues: asked.filter((given) => has(given, true)).length,
    tools: names.size,
    unseenTools: [...names].filter((name) => !knownNames.has(name)).length,
  };
}

/** A tool is given bare or in OpenAI's form, `{ type: 'function', function: … }`. */
export function nameOf(tool: object): string {
  const { function: inner, name } = tool as { function?: { name: string }; name?: string };
  return inner?.name ?? name ?? '';
}
