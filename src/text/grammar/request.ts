import { fail } from '../../errors';

/** Says what is wrong with a request. @throws RequestError */
export function failRequest(parts: Parameters<typeof fail>[1]): never {
  return fail('RequestError', parts);
}
