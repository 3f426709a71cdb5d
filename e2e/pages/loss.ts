/** A page whose engines lose their GPU devices on demand: the worker is the real one, with loss_worker.ts in front. */
import { load, type GenerateOptions, type LoadCallOptions, type Message, type Model } from '../../src/index';

/** What was asked of the GPU. */
export interface Acts {
  acts: number;
  /** the count at each reading of a result */
  reads: number[];
}

export interface Turn {
  messages: Message[];
  sampling: GenerateOptions;
  /**
   * the device is lost at these acts of the answer, the first time at the `latest`-th reading of a result at the latest
   */
  losses?: number[];
  latest?: number;
}

export interface Said {
  text: string;
  /** the pieces of the stream, joined */
  streamed: string;
  finish: string;
  tokens: number;
  reused: number;
  backend: string;
  notes: string[];
  /** what the page was told meanwhile */
  phases: string[];
  acts: Acts;
}

/** of the next engine: where its load is disturbed */
let armed: number[] = [];
const made: Worker[] = [];
window.Worker = class extends Worker {
  constructor(url: string | URL, options?: WorkerOptions) {
    if (options?.name !== 'rivulet') {
      super(url, options); // a thread
      return;
    }
    const both = ['/e2e/pages/loss_worker.ts', String(url)].map(
      (path) => `import ${JSON.stringify(new URL(path, location.href))};`,
    );
    super(URL.createObjectURL(new Blob(both, { type: 'text/javascript' })), { ...options, type: 'module' });
    made.push(this);
    lose(this, armed);
  }
};

/** Counts anew from here, and loses the device at these acts. */
const lose = (worker: Worker, at: number[], latest?: number): void => worker.postMessage({ lose: at, latest });

function count(worker: Worker): Promise<Acts> {
  return new Promise((resolve) => {
    const answered = ({ data }: MessageEvent<Partial<Acts>>): void => {
      if (!data.reads) return;
      worker.removeEventListener('message', answered);
      resolve(data as Acts);
    };
    worker.addEventListener('message', answered);
    worker.postMessage({ count: true });
  });
}

interface Opened {
  model: Model;
  worker: Worker;
  phases: string[];
}
const opened: Opened[] = [];

const calls = {
  /** Loads a model, losing the device at these acts; the answer is its number and what the load asked of the GPU. */
  async open(
    source: string,
    options: LoadCallOptions,
    losses: number[] = [],
  ): Promise<{ id: number; acts: Acts; backend: string; phases: string[] }> {
    armed = losses;
    const phases: string[] = [];
    const model = await load(source, {
      ...options,
      onProgress: ({ phase, cause }) => void (cause && phases.at(-1) !== phase && phases.push(phase)),
    });
    const worker = made.at(-1)!;
    const id = opened.push({ model, worker, phases }) - 1;
    return { id, acts: await count(worker), backend: model.info.backend.name, phases: phases.splice(0) };
  },

  async say(id: number, { messages, sampling, losses = [], latest }: Turn): Promise<Said> {
    const { model, worker, phases } = opened[id];
    lose(worker, losses, latest);
    const stream = model.chat(messages, sampling);
    let streamed = '';
    for await (const piece of stream) streamed += piece;
    const { text, finish, tokens, reusedTokens: reused } = await stream.result;
    const { name: backend, notes } = model.info.backend;
    return {
      text,
      streamed,
      finish,
      tokens,
      reused,
      backend,
      notes,
      phases: phases.splice(0),
      acts: await count(worker),
    };
  },

  unload: (id: number): Promise<void> => opened[id].model.unload(),
};

export type LossCalls = typeof calls;
Object.assign(window, { loss: calls });
