/** A file that cannot go with a message. The text is for the person at the page. */
export class AttachError extends Error {
  override readonly name = 'AttachError';
}
