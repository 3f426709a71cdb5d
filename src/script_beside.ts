/** Loads another classic script of the library from beside a script that runs. */

/**
 * It gets the nonce of `own`, and its hash is checked if `own` had one or came with CORS: a script of another origin
 * can only then be checked.
 * @param own its address is the base; without it the page's
 * @param trusted makes the address a TrustedScriptURL where a page wants that
 * @returns the address; resolves also where a host sent something else than the script
 */
export const loadScriptBeside = (
  own: HTMLScriptElement | null | undefined,
  name: string,
  integrity: string,
  trusted?: (url: string) => unknown,
): Promise<string> =>
  new Promise((resolve, reject) => {
    const script = document.createElement('script');
    const { href } = new URL(name, own?.src || document.baseURI);
    script.src = (trusted?.(href) ?? href) as string;
    if (own?.nonce) script.nonce = own.nonce;
    if (own?.integrity || own?.crossOrigin)
      Object.assign(script, { integrity, crossOrigin: own.crossOrigin ?? 'anonymous' });
    script.onload = () => resolve(script.src);
    script.onerror = () => reject(new Error(`${script.src} did not load`));
    document.head.append(script);
  });
