import { expect, it } from 'vitest';
import { Turns } from './turns';

it('goes to who asked first, and past who left', async () => {
  const turns = new Turns();
  const order: string[] = [];
  const leaving = new AbortController();
  const ask = async (name: string, signal?: AbortSignal): Promise<void> => {
    order.push(`${name} ${await turns.take(signal)}`);
  };
  await ask('a');
  expect(turns.wanted).toBe(false);
  const others = [ask('b'), ask('c', leaving.signal), ask('d')];
  expect(turns.wanted).toBe(true);
  leaving.abort();
  await others[1];
  expect(order).toEqual(['a true', 'c false']);
  turns.release();
  await others[0];
  turns.release();
  await others[2];
  expect(order).toEqual(['a true', 'c false', 'b true', 'd true']);
  expect(turns.wanted).toBe(false);
  await ask('late', AbortSignal.abort());
  turns.release();
  await ask('e');
  expect(order.slice(4)).toEqual(['late false', 'e true']);
});

it('is kept by who got it before an abort', async () => {
  const turns = new Turns();
  const controller = new AbortController();
  await turns.take();
  const second = turns.take(controller.signal);
  turns.release();
  controller.abort();
  expect(await second).toBe(true);
  const third = turns.take();
  turns.release();
  expect(await third).toBe(true);
});
