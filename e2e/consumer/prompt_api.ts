/** A strict project that uses the Prompt API. */
import { load } from 'rivulet';
import { createLanguageModel, installLanguageModel, type LanguageModelSession } from 'rivulet/prompt-api';

export async function talk(): Promise<string> {
  const source = { load: (options: object) => load('./model.gguf', options), stored: () => true };
  const LanguageModel = createLanguageModel(source);
  if ((await LanguageModel.availability()) === 'unavailable') return '';
  const session: LanguageModelSession = await LanguageModel.create({
    initialPrompts: [{ role: 'system', content: 'Be brief.' }],
    monitor: (monitor) => monitor.addEventListener('downloadprogress', () => undefined),
  });
  session.oncontextoverflow = () => undefined;
  await session.append('Hello');
  return (await session.prompt('Bye', { responseConstraint: /bye/ })) + String(await installLanguageModel(source));
}

// @ts-expect-error no way to load
createLanguageModel({});
