/**
 * The element as a classic script. It takes the engine of the page's rivulet.js, or loads that file from beside itself.
 */
import { loadScriptBeside } from '../script_beside';
import { setEngineLoader, type Engine } from './engine';
import { RivuletChat } from './rivulet_chat';
import { trustedPolicy } from './trusted_types';

/**
 * of the rivulet.js that was built with this file: a page cannot name the hash of a script that it does not load itself
 */
declare const RIVULET_INTEGRITY: string;

const own = document.currentScript as HTMLScriptElement | null;
const globalEngine = (): Engine | undefined => (globalThis as { rivulet?: Engine }).rivulet;

async function loadEngine(): Promise<Engine> {
  const address = await loadScriptBeside(own, 'rivulet.js', RIVULET_INTEGRITY, (url) =>
    trustedPolicy()?.createScriptURL(url),
  );
  const engine = globalEngine();
  // some hosts answer with a page where a file is missing
  if (!engine) throw new Error(`${address} is not the engine`);
  return engine;
}

setEngineLoader(() => globalEngine() ?? loadEngine());
if (!customElements.get('rivulet-chat')) customElements.define('rivulet-chat', RivuletChat);
