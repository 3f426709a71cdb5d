/**
 * The engine, which an element loads when it is first needed. Its file is not part of this one: a page has one engine,
 * whoever asks for it.
 */
export type Engine = Pick<typeof import('../index'), 'load' | 'modelRoom' | 'readCalls'>;

let loadEngine: (() => Engine | Promise<Engine>) | undefined;
let engine: Promise<Engine> | undefined;

/** Says where the engine comes from: each entry of the element has a way of its own. */
export function setEngineLoader(load: () => Engine | Promise<Engine>): void {
  loadEngine = load;
}

/** @throws a SourceError if the file of the engine does not load; the next call tries again */
export function getEngine(): Promise<Engine> {
  engine ??= (async () => loadEngine!())().catch((cause: unknown) => {
    engine = undefined;
    throw elementError(
      'SourceError',
      'The engine did not load',
      String(cause),
      'Put rivulet.js beside rivulet-element.js, and allow it in the Content Security Policy.',
      cause,
    );
  });
  return engine;
}

/** An error in the form of the engine's own errors: what happened, what was got, what to do. */
export function elementError(
  name: 'SourceError' | 'RequestError',
  what: string,
  got: string,
  cure: string,
  cause?: unknown,
): Error {
  const short = got.length > 200 ? `${got.slice(0, 200)}…` : got;
  return Object.assign(new Error(`${what}: got ${short}. ${cure}`, { cause }), { name, what, got: short, cure });
}
