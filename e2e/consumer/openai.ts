/** A strict project that uses OpenAI's interfaces. */
import { load } from 'rivulet';
import {
  createFetch,
  createOpenAI,
  OpenAIError,
  routeFetchEvent,
  serveToServiceWorker,
  type ChatCompletion,
  type ChatCompletionChunk,
  type ModelResponse,
  type OpenAI,
  type RunToolsResult,
} from 'rivulet/openai';

export async function ask(): Promise<string | null> {
  const model = await load('./model.gguf');
  const openai: OpenAI = createOpenAI({ tiny: model, other: () => load('./other.gguf') });
  const messages = [{ role: 'user', content: 'Hello' }] as const;
  const whole: ChatCompletion = await openai.chat.completions.create({ model: 'tiny', messages });
  const chunks: AsyncIterable<ChatCompletionChunk> = await openai.chat.completions.create(
    { model: 'tiny', messages, stream: true, temperature: null },
    { signal: new AbortController().signal },
  );
  for await (const { choices } of chunks) document.body.append(choices[0]?.delta.content ?? '');
  const run: RunToolsResult = await openai.chat.completions.runTools({
    model: 'tiny',
    messages,
    tools: [{ type: 'function', function: { name: 'now', function: () => new Date().toISOString() } }],
  });
  const response: ModelResponse = await openai.responses.create({ model: 'tiny', input: 'Hello' });
  const fetchInPage: typeof fetch = createFetch(openai, { baseURL: 'http://in-page/v1', fallback: fetch });
  await fetchInPage('http://in-page/v1/models').catch((error: unknown) => error instanceof OpenAIError && error.param);
  serveToServiceWorker(model)();
  routeFetchEvent({ request: new Request('./v1/models'), respondWith: () => undefined });
  document.body.append(response.output_text, run.finish);
  return whole.choices[0]?.message.content ?? null;
}

// @ts-expect-error no model
createOpenAI();
// @ts-expect-error a role that is none
void createOpenAI({}).chat.completions.create({ model: 'tiny', messages: [{ role: 'wizard' }] });
