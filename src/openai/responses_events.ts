/** The events of a response: what happens to each item of its output, in order. */
import type { AnswerEvent } from './answer';
import { createId } from './models';
import type { ChatCompletionMessageToolCall } from './types';
import type { ResponseOutputItem, UnnumberedEvent } from './responses_types';

type Events = Generator<UnnumberedEvent, void>;

export interface OutputBuilder {
  readonly output: ResponseOutputItem[];
  add(event: Extract<AnswerEvent, { type: 'text' | 'reasoning' | 'call' }>): Events;
  /** @param complete false for an answer that was cut */
  end(complete: boolean): Events;
}

/** Thinking, text and calls become items; the events of an item end before those of the next begin. */
export function createOutputBuilder(): OutputBuilder {
  const output: ResponseOutputItem[] = [];
  /** the item that is being written */
  let open: Exclude<ResponseOutputItem, { type: 'function_call' }> | undefined;

  const index = (): number => output.length - 1;
  const place = (): { item_id: string; output_index: number; content_index: number } => ({
    item_id: output[index()].id,
    output_index: index(),
    content_index: 0,
  });

  function* begin(type: 'message' | 'reasoning'): Events {
    open =
      type === 'message'
        ? { type, id: createId('msg_'), status: 'in_progress', role: 'assistant', content: [] }
        : { type, id: createId('rs_'), summary: [], content: [], status: 'in_progress' };
    output.push(open);
    yield { type: 'response.output_item.added', output_index: index(), item: structuredClone(open) };
    if (open.type === 'message') open.content.push({ type: 'output_text', text: '', annotations: [], logprobs: [] });
    else open.content.push({ type: 'reasoning_text', text: '' });
    yield { type: 'response.content_part.added', ...place(), part: { ...open.content[0] } };
  }

  function* close(complete = true): Events {
    if (!open) return;
    const item = open;
    open = undefined;
    const [part] = item.content;
    item.status = complete ? 'completed' : 'incomplete';
    if (part.type === 'output_text')
      yield { type: 'response.output_text.done', ...place(), text: part.text, logprobs: [] };
    else yield { type: 'response.reasoning_text.done', ...place(), text: part.text };
    yield { type: 'response.content_part.done', ...place(), part: { ...part } };
    yield { type: 'response.output_item.done', output_index: index(), item: structuredClone(item) };
  }

  function* addText(type: 'message' | 'reasoning', delta: string): Events {
    if (open?.type !== type) {
      yield* close();
      yield* begin(type);
    }
    open!.content[0].text += delta;
    if (type === 'message') yield { type: 'response.output_text.delta', ...place(), delta, logprobs: [] };
    else yield { type: 'response.reasoning_text.delta', ...place(), delta };
  }

  function* addCall({ id, function: { name, arguments: given } }: ChatCompletionMessageToolCall): Events {
    yield* close();
    const item = { type: 'function_call', id: createId('fc_'), call_id: id, name } as const;
    const done = { ...item, arguments: given, status: 'completed' } as const;
    output.push(done);
    const at = { item_id: item.id, output_index: index() };
    yield {
      type: 'response.output_item.added',
      output_index: index(),
      item: { ...item, arguments: '', status: 'in_progress' },
    };
    yield { type: 'response.function_call_arguments.delta', ...at, delta: given };
    yield { type: 'response.function_call_arguments.done', ...at, arguments: given, name };
    yield { type: 'response.output_item.done', output_index: index(), item: { ...done } };
  }

  return {
    output,
    add(event) {
      if (event.type === 'call') return addCall(event.call);
      return addText(event.type === 'text' ? 'message' : 'reasoning', event.text);
    },
    *end(complete) {
      // an answer has a message, even if the model said nothing
      if (!output.length) yield* begin('message');
      yield* close(complete);
    },
  };
}
