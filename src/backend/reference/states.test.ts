/** The cases of states on the reference, which keeps all columns, saves nothing and does not count its memory. */
import { expect, it } from 'vitest';
import { stateCases, stateProgram } from '../../../e2e/state_cases';
import { openReferenceBackend } from './backend';

const LEFT_OUT = [
  'it goes back to marks from any distance',
  'a restored state goes on with the same bits',
  'saved states that are damaged or foreign are refused, and leave nothing',
  'ten states take what they tell, and give it back',
];
const all = stateCases(4);

it('leaves out cases that exist', () => expect(Object.keys(all)).toEqual(expect.arrayContaining(LEFT_OUT)));

it.each(Object.entries(all).filter(([name]) => !LEFT_OUT.includes(name)))('%s', async (_, run) => {
  const backend = openReferenceBackend();
  expect(await run(await stateProgram(backend), backend)).toBeUndefined();
});
