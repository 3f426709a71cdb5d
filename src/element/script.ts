/** The element as a classic script. It takes the engine of the page's rivulet.js, or loads that file from beside itself. */
import { setEngineLoader, type Engine } from './engine';
import { RivuletChat } from './rivulet_chat';

/** of the rivulet.js that was built with this file: a page cannot name the hash of a script that it does not load itself */
declare const RIVULET_INTEGRITY: string;

const own = document.currentScript as HTMLScriptElement | null;
const globalEngine = (): Engine | undefined => (globalThis as { rivulet?: Engine }).rivulet;

setEngineLoader(
  () =>
    globalEngine() ??
    new Promise((resolve, reject) => {
      const address = own?.src ?? '';
      const script = document.createElement('script');
      script.src = new URL('rivulet.js', address || document.baseURI).href;
      if (own?.nonce) script.nonce = own.nonce;
      // a script of another origin is checked only if it is asked for with CORS
      if (own?.integrity || own?.crossOrigin) Object.assign(script, { integrity: RIVULET_INTEGRITY, crossOrigin: own.crossOrigin ?? 'anonymous' });
      script.onload = () => {
        const engine = globalEngine();
        // some hosts answer with a page where a file is missing
        if (engine) resolve(engine);
        else reject(new Error(`${script.src} is not the engine`));
      };
      script.onerror = () => reject(new Error(`${script.src} did not load`));
      document.head.append(script);
    }),
);
if (!customElements.get('rivulet-chat')) customElements.define('rivulet-chat', RivuletChat);
