/** Wrong uses. The compiler reports each that it accepts: an expected error that does not come is one. */
import {
  downloadModel,
  estimate,
  listModels,
  load,
  readCalls,
  verifyModel,
  type ErrorName,
  type ModelSource,
} from 'rivulet';

// @ts-expect-error a source of no kind
const source: ModelSource = 7;
// @ts-expect-error an error that is not the package's
const name: ErrorName = 'AbortError';
// @ts-expect-error an option that does not exist
const model = await load(source, { contextSize: 4096 });
// @ts-expect-error a backend that does not exist
await load(source, { backend: 'webgl' });
// @ts-expect-error an option that load() alone has
await estimate(source, { cache: false });
// @ts-expect-error progress has no percentage
await downloadModel(source, { onProgress: ({ percent }) => document.body.append(String(percent)) });

// @ts-expect-error a message without a role
model.chat([{ content: name }]);
// @ts-expect-error an option that does not exist
model.generate('Once', { max_tokens: 20 });
// @ts-expect-error the mask of the sampler is no option
model.generate('Once', { mask: new Uint32Array(1) });
// @ts-expect-error the stream is no text: its pieces are read with for await
model.chat([{ role: 'user' }]).trim();
// @ts-expect-error what holds now is read, never set
model.info = { ...model.info, name };
// @ts-expect-error the result is a promise
document.body.append(model.generate('Once').result.text);

// @ts-expect-error the list is a promise
for (const { id } of listModels()) document.body.append(id);
// @ts-expect-error damaged chunks, not a number of them
document.body.append((await verifyModel('id')).damaged.toFixed());
const [call] = readCalls('').calls;
// @ts-expect-error arguments of a call are unknown
document.body.append(call.arguments.minutes.toFixed());
// @ts-expect-error what is inside is not exported
export { openModel } from 'rivulet';
// @ts-expect-error a file of the package that is no entry of it
export type { Model } from 'rivulet/dist/rivulet.mjs';
