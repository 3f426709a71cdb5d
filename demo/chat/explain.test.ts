import { expect, test } from 'vitest';
import type { ErrorName } from '../../src/errors';
import { explain, seenErrors, sentence } from './explain';

/** An error as it leaves the worker. */
const thrown = (
  name: string,
  message: string,
  parts: { what?: string; got?: string; wanted?: string; cure?: string } = {},
): Error => Object.assign(new Error(message), { name, ...parts });

const NAMES: Record<ErrorName | 'AbortError', true> = {
  CheckpointError: true,
  SourceError: true,
  StorageError: true,
  MemoryError: true,
  DeviceError: true,
  ContextError: true,
  RequestError: true,
  AbortError: true,
};

test('every kind of error has a title', () => {
  for (const name of Object.keys(NAMES)) expect(explain(thrown(name, 'x')).title).not.toBe('Something went wrong');
  expect(explain(new TypeError('x'))).toEqual({ title: 'Something went wrong', text: 'X.' });
  expect(explain('lost')).toEqual({ title: 'Something went wrong', text: 'Lost.' });
});

test('the cure comes first, and the message is kept for the details', () =>
  expect(
    explain(
      thrown('SourceError', 'm.gguf is missing: got status 404, wanted 200. Check the address.', {
        cure: 'Check the address.',
      }),
    ),
  ).toEqual({
    title: 'The model cannot be reached',
    text: 'Check the address.',
    details: 'm.gguf is missing: got status 404, wanted 200.',
  }));

test('without a cure the whole message is shown', () =>
  expect(explain(thrown('CheckpointError', 'the header is not JSON: got [.'))).toEqual({
    title: 'This model cannot be used',
    text: 'The header is not JSON: got [.',
  }));

test('WebGPU that was asked for and fails leads to the CPU', () => {
  const error = thrown('DeviceError', 'No backend: got WebGPU: Update the driver..', { cure: 'Update the driver.' });
  expect(explain(error, 'webgpu')).toMatchObject({
    title: 'WebGPU is not available here',
    text: expect.stringMatching(/^Use the CPU/),
    details: 'No backend: got WebGPU: Update the driver.',
  });
  expect(explain(error, 'auto')).toMatchObject({
    title: 'This device cannot run the model',
    text: 'Update the driver.',
  });
});

test('a cancelled load is no alarm', () =>
  expect(explain(thrown('AbortError', 'The call was aborted.'))).toEqual({
    title: 'Cancelled',
    text: 'The model was not loaded.',
  }));

test('the last twenty errors are kept with their parts; a cancelled load is none', () => {
  for (let i = 0; i < 25; i++)
    explain(
      Object.assign(thrown('SourceError', `${i} failed: got 404. Try again.`, { cure: 'Try again.' }), {
        what: `${i} failed`,
        got: '404',
      }),
    );
  explain(thrown('AbortError', 'The call was aborted.'));
  explain('lost');
  expect(seenErrors()).toHaveLength(20);
  expect(seenErrors().at(-2)).toEqual({
    time: expect.stringMatching(/^\d{4}-/),
    name: 'SourceError',
    what: '24 failed',
    got: '404',
    cure: 'Try again.',
  });
  expect(seenErrors().at(-1)).toMatchObject({ name: 'Error', what: 'lost' });
});

test.each([
  ['it failed', 'It failed.'],
  ['It failed: got “No adapter.”.', 'It failed: got “No adapter.”.'],
  ['got No adapter.. Use WASM..', 'Got No adapter. Use WASM.'],
  ['see ../models and wait...', 'See ../models and wait...'],
  ['is it there?', 'Is it there?'],
  ['cat.jpg is no model', 'cat.jpg is no model.'],
  ['https://a.b/c cannot be reached', 'https://a.b/c cannot be reached.'],
  ["the model's key is wrong", "The model's key is wrong."],
])('%s as a sentence', (text, wanted) => expect(sentence(text)).toBe(wanted));

test('a worker that has failed: the page does not have to be reloaded', () =>
  expect(
    explain(
      thrown('DeviceError', 'The worker failed: got out of memory. Reload the page.', {
        what: 'The worker failed',
        cure: 'Reload the page.',
      }),
    ),
  ).toEqual({
    title: 'The model has stopped',
    text: 'Try again. The page then loads the model again.',
    details: 'The worker failed: got out of memory. Reload the page.',
  }));

test.each([
  [
    { what: 'The schema is not valid at /type', got: '"strin"', wanted: 'a type' },
    'The schema is not valid at /type: it is "strin", and must be a type.',
  ],
  [
    { what: 'The schema cannot be enforced at /not', got: 'not over uniqueItems', cure: 'Pass strict: false.' },
    'The schema cannot be enforced at /not: not over uniqueItems.',
  ],
  [
    { what: 'No value fits the schema', cure: 'Look for contradictions.' },
    'No value fits the schema. Look for contradictions.',
  ],
])('a schema that cannot be used: where and why, without advice for developers: %o', (parts, text) =>
  expect(explain(thrown('RequestError', 'x', parts))).toEqual({ title: 'The JSON Schema cannot be used', text }),
);
