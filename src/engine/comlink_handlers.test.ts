import { expose, wrap } from 'comlink';
import { describe, expect, it } from 'vitest';
import { abortError, fail, RivuletError } from '../errors';
import './comlink_handlers';

/** Calls `work` through Comlink, over a real message channel, and returns what it threw. */
async function thrownBy(work: (signal?: AbortSignal) => unknown, signal?: AbortSignal): Promise<unknown> {
  const { port1, port2 } = new MessageChannel();
  expose(work, port1);
  try {
    return await wrap<typeof work>(port2)(signal).then(
      () => 'nothing',
      (error: unknown) => error,
    );
  } finally {
    port1.close();
  }
}

describe('wire', () => {
  it('carries the parts of an error', async () => {
    const parts = { what: 'The device was lost', got: 'a driver reset.', wanted: 2, cure: 'Load the model again.' };
    const error = await thrownBy(() => fail('DeviceError', parts, new Error('inner')));
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'DeviceError',
      message: 'The device was lost: got a driver reset, wanted 2. Load the model again.',
      what: 'The device was lost',
      got: 'a driver reset',
      wanted: '2',
      cure: 'Load the model again.',
    });
    expect(error).not.toBeInstanceOf(RivuletError);
  });

  it('leaves parts that an error does not have undefined', async () => {
    expect(await thrownBy(() => fail('StorageError', { what: 'The disk is full' }))).toMatchObject({
      message: 'The disk is full.',
      got: undefined,
      wanted: undefined,
      cure: undefined,
    });
  });

  it('carries other errors and thrown values as Comlink does', async () => {
    const other = await thrownBy(() => {
      throw Object.assign(new TypeError('no function'), { hidden: () => 0 });
    });
    expect(other).toMatchObject({ name: 'TypeError', message: 'no function' });
    expect(other).not.toHaveProperty('hidden');
    expect(await thrownBy(() => Promise.reject('text'))).toBe('text');
    expect(await thrownBy(() => Promise.reject(abortError()))).toMatchObject({ name: 'AbortError' });
  });

  it('carries an abort', async () => {
    const controller = new AbortController();
    const work = (signal?: AbortSignal): Promise<never> =>
      new Promise((_, reject) => signal!.addEventListener('abort', () => reject(abortError())));
    const error = thrownBy(work, controller.signal);
    controller.abort();
    expect(await error).toMatchObject({ name: 'AbortError' });
  });

  it('carries the signal of another window, which is of another class', async () => {
    let abort = (): void => undefined;
    const foreign = {
      aborted: false,
      addEventListener: (_: string, listener: () => void) => void (abort = listener),
    } as unknown as AbortSignal;
    const error = thrownBy(
      (signal) => new Promise((_, reject) => signal!.addEventListener('abort', () => reject(abortError()))),
      foreign,
    );
    abort();
    expect(await error).toMatchObject({ name: 'AbortError' });
  });
});
