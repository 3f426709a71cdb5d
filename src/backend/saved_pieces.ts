/** Passes on the pieces of a saved state. @throws StorageError unless they have `wanted` bytes together */
import { fail } from '../errors';

export async function* exactly(pieces: AsyncIterable<Uint8Array>, wanted: number): AsyncGenerator<Uint8Array> {
  let got = 0;
  const failDamaged = (least: string): never =>
    fail('StorageError', {
      what: 'The saved conversation is damaged',
      got: `${least}${got} bytes`,
      wanted: `${wanted} bytes`,
      cure: 'Read its text again.',
    });
  for await (const piece of pieces) {
    got += piece.length;
    if (got > wanted) failDamaged('at least ');
    yield piece;
  }
  if (got < wanted) failDamaged('');
}
