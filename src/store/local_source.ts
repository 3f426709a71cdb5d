/**
 * Models in local files: chosen, dropped, or in a directory that the user opened. They are read in place and never
 * copied.
 */
import { fail } from '../errors';
import { chooseFiles } from './choose_files';
import { blobSource, type ByteSource } from './byte_source';

export type LocalSource =
  | File
  | Blob
  | FileSystemFileHandle
  | { file: File | Blob; name?: string }
  | { files: File[] }
  | FileSystemDirectoryHandle;

/** True for local files, which are read in place. */
export const isLocalSource = (source: string | { url: string | string[] } | LocalSource): source is LocalSource =>
  typeof source === 'object' && !('url' in source);

/** @throws SourceError if the files hold no model or cannot be read */
export async function openLocalSource(source: LocalSource): Promise<{ id: string; files: ByteSource[] }> {
  if (source instanceof Blob) return openLocalSource({ file: source });
  if ('file' in source) {
    const { file } = source;
    const name = source.name ?? (file instanceof File ? file.name : 'model.gguf');
    return { id: `file:${name}`, files: [blobSource(file, name)] };
  }
  if ('files' in source) {
    const listed = new Map(source.files.map((file) => [file.webkitRelativePath || file.name, file]));
    const { folder, names } = withoutCommonFolder([...listed.keys()]);
    const list = names.length === 1 ? names : chooseFiles(names, undefined, 'the list of files');
    return {
      id: `file:${folder || list[0]}`,
      files: list.map((name) => blobSource(listed.get(folder ? `${folder}/${name}` : name)!, name)),
    };
  }
  if (source.kind === 'file') return openLocalSource({ file: await fileOf(source) });
  const handles = new Map<string, FileSystemFileHandle>();
  await collectFiles(source, '', handles);
  const names = chooseFiles([...handles.keys()], undefined, `the folder ${source.name}`);
  return {
    id: `file:${source.name}`,
    files: await Promise.all(names.map(async (name) => blobSource(await fileOf(handles.get(name)!), name))),
  };
}

async function fileOf(handle: FileSystemFileHandle): Promise<File> {
  try {
    return await handle.getFile();
  } catch (cause) {
    fail(
      'SourceError',
      { what: `The file ${handle.name} cannot be read`, got: String(cause), cure: 'Choose it, or its folder, again.' },
      cause,
    );
  }
}

/** Removes the folder that all paths begin with, if there is one. */
function withoutCommonFolder(paths: string[]): { folder: string; names: string[] } {
  const folder = paths[0]?.includes('/') ? paths[0].slice(0, paths[0].indexOf('/')) : '';
  if (!folder || !paths.every((path) => path.startsWith(`${folder}/`))) return { folder: '', names: paths };
  return { folder, names: paths.map((path) => path.slice(folder.length + 1)) };
}

const MAX_FOLDER_DEPTH = 3; // a snapshot directory has its files at the top or one folder below

async function collectFiles(
  directory: FileSystemDirectoryHandle,
  prefix: string,
  into: Map<string, FileSystemFileHandle>,
): Promise<void> {
  for await (const entry of directory.values()) {
    if (entry.kind === 'file') into.set(prefix + entry.name, entry as FileSystemFileHandle);
    else if (prefix.split('/').length < MAX_FOLDER_DEPTH)
      await collectFiles(entry as FileSystemDirectoryHandle, `${prefix}${entry.name}/`, into);
  }
}
