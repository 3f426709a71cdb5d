/** A model of the device as a judge of private text. */
import { fail } from '../../errors';
import type { OpenAIModel } from '../../openai/types';

const ASKS =
  'List every piece of the text below that tells who somebody is or belongs to one person: names, addresses, dates of birth, numbers of documents. Copy each piece exactly as it stands. Answer with a JSON list of texts, [] if there is none.';
const SCHEMA = { type: 'array', items: { type: 'string' } };
/** Longer texts are judged in parts. */
const PART = 4000;
/** so that a piece at the end of a part stands whole in the next one */
const OVERLAP = 200;

/**
 * For `redact.judge`: asks a model of the device, which needs `constraints` at its load. How much it finds depends on
 * the model; the detectors run all the same.
 * @throws RequestError, and the request stays on the device, if an answer is not complete
 */
export const createModelJudge =
  (model: Pick<OpenAIModel, 'chat'>): ((text: string) => Promise<string[]>) =>
  async (text) => {
    const found: string[] = [];
    for (let at = 0; at < Math.max(1, text.length); at += PART - OVERLAP) {
      const part = text.slice(at, at + PART);
      const options = {
        temperature: 0,
        maxTokens: 1024,
        responseFormat: { type: 'json_schema' as const, schema: SCHEMA },
      };
      const { text: answer } = await model.chat([{ role: 'user', content: `${ASKS}\n\n${part}` }], options).result;
      found.push(...readList(answer).filter((one) => one.trim() !== '' && part.includes(one)));
      if (at + PART >= text.length) break;
    }
    return found;
  };

function readList(answer: string): string[] {
  try {
    const list = JSON.parse(answer) as unknown;
    if (Array.isArray(list) && list.every((one) => typeof one === 'string')) return list;
  } catch {
    // told below
  }
  return fail('RequestError', { what: 'The judge gave no list', wanted: 'a JSON list of texts' });
}
