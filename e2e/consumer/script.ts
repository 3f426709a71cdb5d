/// <reference types="rivulet/rivulet.js" />
/** A page with <script src="rivulet.js">: what the script sets is typed like the module. */
import type { Model } from 'rivulet';

const model: Promise<Model> = rivulet.load('./model.gguf', { onProgress: ({ phase }) => document.body.append(phase) });
void model.then(({ info }) => document.body.append(info.backend.device, String(globalThis.rivulet === window.rivulet)));

// @ts-expect-error what the script does not set
rivulet.unload();
// @ts-expect-error an option that does not exist
void rivulet.load('./model.gguf', { temprature: 0 });
// @ts-expect-error the script has no exports
export type { Model as Exported } from 'rivulet/rivulet.js';
