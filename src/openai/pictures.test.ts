/** Pictures in requests: what a model with vision gets, and where others refuse them. */
import { expect, it } from 'vitest';
import { createScriptedModel, type ScriptedModel } from '../../e2e/scripted_model';
import { createOpenAI } from './create_openai';

const url = 'data:image/png;base64,AAAA';
const seeing = (): ScriptedModel =>
  Object.assign(createScriptedModel('A cat.'), { info: { id: 'm', name: 'm', config: { vision: {} } } });
const given = ({ calls }: ScriptedModel): unknown => calls[0].messages.map(({ content }) => content);
const WANTED = [
  [
    { type: 'text', text: 'What is it?' },
    { type: 'image_url', image_url: { url, detail: 'low' } },
  ],
];

it('a chat completion gives them to the model in their places', async () => {
  const model = seeing();
  const content = [
    { type: 'text', text: 'What is it?' },
    { type: 'image_url', image_url: { url, detail: 'low' } },
  ] as const;
  await createOpenAI({ m: model }).chat.completions.create({ model: 'm', messages: [{ role: 'user', content }] });
  expect(given(model)).toEqual(WANTED);
});

it('a response, too, and the next one reads them again', async () => {
  const model = seeing();
  const { responses } = createOpenAI({ m: model });
  const content = [
    { type: 'input_text', text: 'What is it?' },
    { type: 'input_image', image_url: url, detail: 'low' },
  ] as const;
  const { id } = await responses.create({ model: 'm', input: [{ role: 'user', content }] });
  expect(given(model)).toEqual(WANTED);
  await responses.create({ model: 'm', input: 'And now?', previous_response_id: id });
  expect(model.calls[1].messages.map(({ content: said }) => said)).toEqual([...WANTED, 'A cat.', 'And now?']);
});

const part = (image_url: unknown): object => ({ role: 'user', content: [{ type: 'image_url', image_url }] });
it.each<[string, object, string]>([
  ['no address', part({}), 'messages[0].content[0].image_url.url'],
  ['a text in place of an object', part(url), 'messages[0].content[0].image_url'],
  ['another detail', part({ url, detail: 'much' }), 'messages[0].content[0].image_url.detail'],
  [
    'a picture of the system',
    { role: 'system', content: [{ type: 'image_url', image_url: { url } }] },
    'messages[0].content[0].type',
  ],
])('refuses %s', async (_, message, param) => {
  const call = createOpenAI({ m: seeing() }).chat.completions.create({ model: 'm', messages: [message] as never });
  await expect(call).rejects.toMatchObject({ param });
});
