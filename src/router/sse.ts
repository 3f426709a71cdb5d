/** Reads server-sent events of an endpoint that may send anything. */
import { failRoute } from './route_error';

/** A line and an event may have so many characters; an answer of 100,000 tokens in one event has fewer. */
const MOST_EVENT = 1 << 20;

/**
 * The `data` of each event. Fields that are no data, and comments, are left out.
 * @param pieces bytes as they come, cut anywhere
 * @throws RouteError too_large for an event of more than a million characters
 */
export async function* readEvents(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let rest = '';
  let data: string[] = [];
  let size = 0;
  const requireSize = (length: number): void => {
    if (length > MOST_EVENT)
      failRoute('too_large', {
        what: 'An event of the endpoint is too large',
        wanted: `at most ${MOST_EVENT} characters`,
      });
  };
  const take = (line: string): string | undefined => {
    if (line === '') {
      const event = data.join('\n');
      const any = data.length > 0;
      data = [];
      size = 0;
      return any ? event : undefined;
    }
    if (!line.startsWith('data:')) return undefined;
    size += line.length;
    requireSize(size);
    data.push(line.slice(line[5] === ' ' ? 6 : 5));
    return undefined;
  };
  for await (const piece of pieces) {
    rest += decoder.decode(piece, { stream: true });
    // a line that ends in CR may go on with LF in the next piece
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    requireSize(rest.length);
    for (const line of lines) {
      const event = take(line);
      if (event !== undefined) yield event;
    }
  }
  for (const line of [rest.replace(/\r$/, '') + decoder.decode(), '']) {
    const event = take(line);
    if (event !== undefined) yield event;
  }
}
