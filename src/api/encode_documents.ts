/** Encodes documents a few at a time: the next ones while the page uses those that are done. */

/** Documents of one call, between two reports. */
const DOCUMENTS = 16;

type Encode = (texts: readonly string[]) => Promise<Float32Array[]>;

/** The vectors of the texts, in their order. */
export async function* encodeInParts(
  texts: readonly string[],
  encode: Encode,
  onProgress?: (done: number, total: number) => void,
): AsyncGenerator<Float32Array, void> {
  const next = (at: number): Promise<Float32Array[]> | undefined => {
    const part = at < texts.length ? encode(texts.slice(at, at + DOCUMENTS)) : undefined;
    part?.catch(() => undefined); // told when it is awaited
    return part;
  };
  for (let at = 0, part = next(0); part; at += DOCUMENTS) {
    const vectors = await part;
    part = next(at + DOCUMENTS);
    onProgress?.(Math.min(at + DOCUMENTS, texts.length), texts.length);
    yield* vectors;
  }
}
