/** A reply that is JSON: what the model writes is held to the form, and no part of it is read as a call. */
import type { Message } from '../../src/index';
import type { Turn } from './history';
import type { Outcome, ReplyParts } from './reply_loop';

/**
 * @param before the messages up to the user's last
 * @param soFar a reply that was stopped, to be continued
 */
export async function replyAsJson(
  before: Message[],
  { generate, onChange }: Pick<ReplyParts, 'generate' | 'onChange'>,
  soFar?: Turn,
): Promise<Outcome> {
  // the engine continues a text without the blanks at its end
  const begun = soFar?.content.trimEnd() ?? '';
  const turn = (text: string, thoughts = ''): Turn => {
    const reasoning = (begun && soFar?.reasoning) || thoughts;
    return { role: 'assistant', content: begun + text, ...(reasoning && { reasoning }), json: true };
  };
  const { text, reasoning, result } = await generate(
    [...before, ...(begun ? [{ role: 'assistant', content: begun }] : [])],
    (more, thoughts) => onChange(turn(more, thoughts)),
    begun !== '',
  );
  return { reply: turn(text, reasoning), result };
}
