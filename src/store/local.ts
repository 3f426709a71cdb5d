/** Models in files of this device: chosen, dropped, or a directory that the page was given. They are read in place and never copied. */
import { fail } from '../errors';
import { chooseFiles } from './choice';
import { blobSource, type ByteSource } from './source';

export type LocalSource = File | Blob | FileSystemFileHandle | { file: File | Blob; name?: string } | { files: File[] } | FileSystemDirectoryHandle;

/** Is it a file of this device, which is read in place? */
export const isLocal = (source: string | { url: string | string[] } | LocalSource): source is LocalSource => typeof source === 'object' && !('url' in source);

/** @throws SourceError when the files hold no model or cannot be read; RequestError for anything that is no source */
export async function openLocal(source: LocalSource): Promise<{ id: string; files: ByteSource[] }> {
  if (source instanceof Blob) return openLocal({ file: source });
  if ('kind' in source && source.kind === 'file') return openLocal({ file: await chosen(source) });
  if ('file' in source) {
    const { file } = source;
    const name = source.name ?? (file instanceof File ? file.name : 'model.gguf');
    return { id: `file:${name}`, files: [blobSource(file, name)] };
  }
  if ('files' in source) {
    const listed = new Map(source.files.map((file) => [file.webkitRelativePath || file.name, file]));
    const { folder, names } = within([...listed.keys()]);
    const list = names.length === 1 ? names : chooseFiles(names, undefined, 'the list of files');
    return { id: `file:${folder || list[0]}`, files: list.map((name) => blobSource(listed.get(folder ? `${folder}/${name}` : name)!, name)) };
  }
  if (!('kind' in source) || source.kind !== 'directory')
    fail('RequestError', { what: 'this is not a model source', got: Object.keys(source).join(', ') || 'an empty object', wanted: 'a file, a directory handle, { url }, { file } or { files }' });
  const handles = new Map<string, FileSystemFileHandle>();
  await walk(source, '', handles);
  const names = chooseFiles([...handles.keys()], undefined, `the folder ${source.name}`);
  return { id: `file:${source.name}`, files: await Promise.all(names.map(async (name) => blobSource(await chosen(handles.get(name)!), name))) };
}

async function chosen(handle: FileSystemFileHandle): Promise<File> {
  try {
    return await handle.getFile();
  } catch (cause) {
    fail('SourceError', { what: `the file ${handle.name} cannot be read`, got: String(cause), cure: 'Choose it, or its folder, again.' }, cause);
  }
}

/** Takes off the folder that all paths begin with, if there is one. */
function within(paths: string[]): { folder: string; names: string[] } {
  const folder = paths[0]?.includes('/') ? paths[0].slice(0, paths[0].indexOf('/')) : '';
  if (!folder || !paths.every((path) => path.startsWith(`${folder}/`))) return { folder: '', names: paths };
  return { folder, names: paths.map((path) => path.slice(folder.length + 1)) };
}

const DEEPEST = 3; // folders: a snapshot directory has its files at the top or one below

async function walk(directory: FileSystemDirectoryHandle, prefix: string, into: Map<string, FileSystemFileHandle>): Promise<void> {
  for await (const entry of directory.values()) {
    if (entry.kind === 'file') into.set(prefix + entry.name, entry as FileSystemFileHandle);
    else if (prefix.split('/').length < DEEPEST) await walk(entry as FileSystemDirectoryHandle, `${prefix}${entry.name}/`, into);
  }
}
