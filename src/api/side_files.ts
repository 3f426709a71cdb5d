/**
 * Side files: parts of the engine that loading and chatting do not need. The page gets the text of such a part when a
 * call first needs it, and starts a worker with it: a worker that runs can get no code where a Content Security Policy
 * allows only scripts of the page's host.
 */
import { fail } from '../errors';
import { loadScriptBeside } from '../script_beside';
import { version } from '../worker?script';
import { trustedUrl } from './trusted_url';

export type SideFile =
  'tools' | 'encoders' | 'experts' | 'vision' | 'retrieval' | 'conversations' | 'grammar' | 'speculation' | 'memory64';

/**
 * set by the build of rivulet.js: the name under which a side file of the same version leaves its text in
 * `rivuletSideFiles`, and its hash
 */
declare const RIVULET_SIDE_FILES: Record<SideFile, { key: string; integrity: string }>;

// known only while the script runs first
const own = import.meta.env.MODE === 'script' ? globalThis.document?.currentScript : undefined;

const fileOf = (name: SideFile): string => `rivulet-${name}.${import.meta.env.MODE === 'script' ? 'js' : 'mjs'}`;

async function fromScript(name: SideFile): Promise<string> {
  const { key, integrity } = RIVULET_SIDE_FILES[name];
  const text = (): string | undefined =>
    (globalThis as { rivuletSideFiles?: Record<string, string> }).rivuletSideFiles?.[key];
  // a page may have its own script tag for it
  if (text()) return text()!;
  const address = await loadScriptBeside(own as HTMLScriptElement | undefined, fileOf(name), integrity, trustedUrl);
  return text() ?? Promise.reject(new Error(`${address} is another file`));
}

const MODULES: Record<SideFile, () => Promise<{ default: string; version: string }>> = {
  tools: () => import('../modules/tools?script'),
  encoders: () => import('../modules/encoders?script'),
  experts: () => import('../modules/experts?script'),
  vision: () => import('../modules/vision?script'),
  retrieval: () => import('../modules/retrieval?script'),
  conversations: () => import('../modules/conversations?script'),
  grammar: () => import('../modules/grammar?script'),
  speculation: () => import('../modules/speculation?script'),
  memory64: () => import('../modules/memory64?script'),
};

async function fromModule(name: SideFile): Promise<string> {
  const module = await MODULES[name]();
  return module.version === version
    ? module.default
    : Promise.reject(new Error(`${fileOf(name)} is of another version`));
}

const texts: Partial<Record<SideFile, Promise<string>>> = {};

/** @returns a script. @throws SourceError if the file does not load; the next call tries again */
const sideFileText = (name: SideFile): Promise<string> =>
  // the build of rivulet.js drops the imports, all others drop the script
  (texts[name] ??= (import.meta.env.MODE === 'script' ? fromScript(name) : fromModule(name)).catch((cause: unknown) => {
    delete texts[name];
    return fail(
      'SourceError',
      {
        what: `${fileOf(name)} did not load`,
        got: String(cause),
        cure: 'Put it beside rivulet, of the same version, and allow it in the Content Security Policy.',
      },
      cause,
    );
  }));

/**
 * Runs a call that starts a worker with the texts of these side files, and again if its model needs others
 * (src/model/architecture.ts, src/backend/wasm/module.ts).
 * @throws SourceError if a side file does not load; what the call throws
 */
export async function withSideFiles<T>(names: SideFile[], call: (texts: string[]) => Promise<T>): Promise<T> {
  const scripts = await Promise.all(names.map(sideFileText));
  try {
    return await call(scripts);
  } catch (error) {
    const { sideFiles } = error as { sideFiles?: SideFile[] };
    if (!sideFiles || names.includes(sideFiles[0])) throw error;
    return withSideFiles([...names, ...sideFiles], call);
  }
}
