/** What files are, by their first bytes and names: models, exported models, texts, or something else. */

export type FileKind = 'model' | 'exported' | 'part' | 'text' | 'other';

const starts = async (file: Blob, bytes: number): Promise<Uint8Array> =>
  new Uint8Array(await file.slice(0, bytes).arrayBuffer());
const ascii = (head: Uint8Array): string => String.fromCharCode(...head);

/** Text has no control characters but tab, line feed, form feed and carriage return, and is valid UTF-8. */
function isText(head: Uint8Array): boolean {
  try {
    // the last character may be cut
    const text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true });
    // eslint-disable-next-line no-control-regex
    return text.length > 0 && !/[\u0000-\u0008\u000b\u000e-\u001f]/.test(text);
  } catch {
    return false;
  }
}

/** @throws what the browser throws where a file cannot be read: it is a folder, or gone */
export async function kindOf(file: File): Promise<FileKind> {
  const head = await starts(file, 512);
  const magic = ascii(head.subarray(0, 8));
  if (magic.startsWith('GGUF')) return 'model';
  if (magic === 'RIVULET1') return 'exported';
  if (/\.safetensors$/i.test(file.name)) return 'part';
  // the files of a Hugging Face model
  if (
    /^(config|tokenizer|tokenizer_config|generation_config|special_tokens_map|model\.safetensors\.index)\.json$/i.test(
      file.name,
    )
  )
    return 'part';
  // a .gguf file of text is a pointer to the model, or an error page
  return isText(head) && !/\.gguf$/i.test(file.name) ? 'text' : 'other';
}

export interface SortedFiles {
  /** a model, as files that belong together */
  model?: File[];
  exported?: File;
  /** what is no model, and why not; a text or something else may go with a message */
  others: { file: File; problem: string; attachable: boolean }[];
}

/** Parts of a Hugging Face model count only beside weights: else they are texts. */
export async function sortFiles(files: readonly File[]): Promise<SortedFiles> {
  const sorted: SortedFiles = { others: [] };
  const model: File[] = [];
  const parts: File[] = [];
  const other = (file: File, problem: string, attachable: boolean): void =>
    void sorted.others.push({ file, problem: `${file.name} ${problem}`, attachable });
  for (const file of files) {
    const kind = await kindOf(file).catch(() => undefined);
    if (kind === 'model') model.push(file);
    else if (kind === 'exported') sorted.exported = file;
    else if (kind === 'part') parts.push(file);
    else if (kind === undefined) other(file, 'cannot be read. It may be a folder: drop the files in it.', false);
    else if (/\.gguf$/i.test(file.name))
      other(
        file,
        'is not a model file: its first bytes are not those of a GGUF file. It may be damaged, or only a pointer to the real file.',
        false,
      );
    else other(file, 'is not a model file. Choose a .gguf file.', true);
  }
  if (parts.some(({ name }) => /\.safetensors$/i.test(name))) model.push(...parts);
  else for (const part of parts) other(part, 'is a part of a model. Choose all files of the model.', true);
  if (model.length) sorted.model = model;
  return sorted;
}
