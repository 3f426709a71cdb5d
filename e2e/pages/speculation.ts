/** One model with and without speculation, in the built library, for the tool `speculation`. */
import type { GenerateOptions, Model } from '../../src/index';

declare const rivulet: typeof import('../../src/index');

export interface SpeculationTask {
  name: string;
  prompt: number[];
  options: Pick<GenerateOptions, 'temperature' | 'topK' | 'topP' | 'minP' | 'seed' | 'maxTokens' | 'bias'>;
}

export interface SpeculationRun {
  text: string;
  /** tokens a second after the first token */
  rate: number;
}

export interface SpeculationPage {
  load(options: { threads: number }): Promise<string>;
  /** Reads the prompt, so that the answer begins at once. */
  read(which: 'off' | 'on', task: SpeculationTask): Promise<unknown>;
  answer(which: 'off' | 'on', task: SpeculationTask): Promise<SpeculationRun>;
}

let models: Record<'off' | 'on', Model>;

const page: SpeculationPage = {
  async load({ threads }) {
    const [file] = document.querySelector('input')!.files!;
    const options = { backend: 'wasm', threads } as const;
    models = {
      off: await rivulet.load(file, options),
      on: await rivulet.load(file, { ...options, speculation: true }),
    };
    const { variant, threads: used } = models.on.info.backend;
    return `${file.name}, ${variant}, ${used} threads`;
  },

  read: (which, { prompt, options }) =>
    models[which].generate(prompt, { ...options, maxTokens: 1, reuse: true }).result,

  async answer(which, { prompt, options }) {
    const { text, tokensPerSecond } = await models[which].generate(prompt, { ...options, reuse: true }).result;
    return { text, rate: tokensPerSecond };
  },
};

Object.assign(window, { speculation: page });
