/** The cases of states on the reference, which keeps all columns and does not count its memory. */
import { expect, it } from 'vitest';
import { stateCases, stateProgram } from '../../../e2e/state_cases';
import { openReferenceBackend } from './backend';

const { 'it goes back to marks from any distance': _, 'ten states take what they tell, and give it back': __, ...cases } = stateCases(4); // prettier-ignore

it.each(Object.entries(cases))('%s', async (_, run) => {
  const backend = openReferenceBackend();
  expect(await run(await stateProgram(backend), backend)).toBeUndefined();
});
