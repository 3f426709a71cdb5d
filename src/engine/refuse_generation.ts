/** A model for retrieval writes no text: the calls that would need it to are refused. */
import { fail } from '../errors';
import type { EngineWorkerCalls } from './engine';

type Refused = Pick<EngineWorkerCalls, 'chat' | 'generate' | 'score' | 'logits'>;

/** Calls in place of the engine's. One without a model fails as before. @throws RequestError, from each */
export function refuseGeneration(engine: EngineWorkerCalls): Refused {
  const refuse = async (): Promise<never> => {
    engine.info();
    return fail('RequestError', {
      what: 'The model makes vectors of texts and writes none',
      cure: 'Use encodeQuery and encodeDocuments, or embed; load another model for answers.',
    });
  };
  return { chat: refuse, generate: refuse, score: refuse, logits: refuse };
}
