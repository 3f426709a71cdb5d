/**
 * A folder with the site and a model, for a network without internet: any static server serves it, and the page starts
 * with this model.
 *
 *   npm run pack:offline -- --model FILE.gguf [--out DIR]
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { writeServiceWorker } from '../../demo/build/service_worker';
import { shardNames } from '../../src/store/choose_files';
import { file, startTool, text } from './options';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MARK = 'README.txt';

const readme = (model: string): string => `Rivulet with the model ${model}

Serve this folder with any static server, for example:  python3 -m http.server 8080
Then open http://localhost:8080/

No other server is contacted. Other devices should open it over https: over plain http a browser runs the model on one thread and does not store the page.
`;

export interface Packed {
  folder: string;
  files: number;
  bytes: number;
}

/**
 * @param model a GGUF file, or the first of its shards
 * @param site the built site
 * @throws Error if the model is no GGUF file, or the folder holds something else
 */
export async function packOffline(model: string, folder: string, site: string): Promise<Packed> {
  const names = shardNames(basename(model));
  for (const name of names) checkModel(join(dirname(model), name));
  if (existsSync(folder) && readdirSync(folder).length > 0 && !isPacked(folder))
    throw new Error(
      `${folder} holds other files. Pass --out with a new folder, an empty one, or one that this command has made.`,
    );
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  cpSync(site, folder, { recursive: true });
  // a clone takes no space where the file system has clones
  for (const name of names)
    copyFileSync(join(dirname(model), name), join(folder, 'models', name), constants.COPYFILE_FICLONE);
  writeFileSync(join(folder, 'config.json'), `${JSON.stringify({ model: `models/${names[0]}` }, null, 2)}\n`);
  writeFileSync(join(folder, MARK), readme(names[0]));
  await writeServiceWorker(folder);
  const packed = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => statSync(join(folder, path)))
    .filter((entry) => entry.isFile());
  return { folder, files: packed.length, bytes: packed.reduce((sum, { size }) => sum + size, 0) };
}

const isPacked = (folder: string): boolean =>
  existsSync(join(folder, MARK)) && readFileSync(join(folder, MARK), 'utf8').startsWith('Rivulet with the model ');

function checkModel(path: string): void {
  if (!existsSync(path)) throw new Error(`${path} does not exist. The model needs all of its parts in one folder.`);
  const head = Buffer.alloc(4);
  const opened = openSync(path, 'r');
  readSync(opened, head, 0, 4, 0);
  closeSync(opened);
  if (head.toString('latin1') !== 'GGUF')
    throw new Error(
      `${path} is not a GGUF file: it begins with ${JSON.stringify(head.toString('latin1'))}, and a GGUF file begins with "GGUF".`,
    );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const values = startTool(
    'npm run pack:offline --',
    'Makes a folder with the site and a model that works without internet.',
    {
      model: file('a GGUF file, or the first of its parts'),
      out: text('DIR', 'the folder to make', 'dist/offline'),
    },
  );
  const vite = join(ROOT, 'node_modules/vite/bin/vite.js');
  for (const mode of ['script', 'site'])
    execFileSync(process.execPath, [vite, 'build', '--mode', mode, '--logLevel', 'warn'], {
      cwd: ROOT,
      stdio: 'inherit',
    });
  const { folder, files, bytes } = await packOffline(
    resolve(values.model),
    resolve(values.out),
    join(ROOT, 'dist/site'),
  );
  console.log(
    `${relative(process.cwd(), folder) || '.'}: ${files} files, ${(bytes / 1e6).toFixed(1)} MB. Serve it with any static server.`,
  );
}
