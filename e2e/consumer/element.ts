/** A page of a strict project that uses the element: its types, also through the DOM. */
import 'rivulet/element';
import { RivuletChat, type ChatTool, type ToolCallDetail, type ToolParameters } from 'rivulet/element';
import type { Message } from 'rivulet';

const parameters: ToolParameters = {
  type: 'object',
  properties: { minutes: { type: 'integer' } },
  required: ['minutes'],
};
const tool: ChatTool = { name: 'set_timer', parameters, run: ({ minutes }) => `started ${String(minutes)}` };

const chat: RivuletChat = document.createElement('rivulet-chat');
chat.model = './model.gguf';
chat.tools = [tool];
chat.messages = [{ role: 'user', content: 'Hello' }] satisfies Message[];
chat.addEventListener('rivulet-toolcall', (event) => (event as CustomEvent<ToolCallDetail>).detail.respondWith('ok'));
void chat
  .send('Hello')
  .then((words) => document.body.append(words, chat.value, chat.info?.backend.name ?? '', String(chat.form)));
chat.stop();
chat.clear();
document
  .querySelector('rivulet-chat')
  ?.load()
  .catch(() => undefined);

// @ts-expect-error a message is text
void chat.send(7);
// @ts-expect-error what holds of the model is read, never set
chat.info = undefined;
