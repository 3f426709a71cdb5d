/** What other apps hand over: text that is shared with the installed app, and files that are opened with it. */

interface LaunchParams {
  targetURL?: string;
  files?: readonly FileSystemFileHandle[];
}

declare global {
  interface Window {
    launchQueue?: { setConsumer(consumer: (params: LaunchParams) => void): void };
  }
}

/** The names of the manifest's share_target, and the one that links usually have for a question: `?q=…` */
const SHARED = ['title', 'text', 'url', 'q'] as const;

/** The shared text in an address, and the address without it. */
export function sharedIn(address: string): { text: string; rest: string } {
  const url = new URL(address);
  const parts = SHARED.map((name) => url.searchParams.get(name)?.trim() ?? '').filter(Boolean);
  for (const name of SHARED) url.searchParams.delete(name);
  // many apps put the link into the text as well
  const text = parts
    .filter((part, i) => !parts.some((other, j) => j !== i && other.includes(part) && (other !== part || j < i)))
    .join('\n');
  return { text, rest: url.href };
}

export interface LaunchHandlers {
  /** puts a text into the message field, unsent */
  draft(text: string): void;
  open(files: File[]): void;
}

/**
 * Takes the shared text out of the page's address, so that a reload does not bring it again. `handle` gives it and what
 * comes later to the page.
 */
export function takeLaunch(): { handle(handlers: LaunchHandlers): void } {
  const address = location.href;
  const { text, rest } = sharedIn(address);
  if (rest !== address) history.replaceState(history.state, '', rest);
  return {
    handle({ draft, open }) {
      if (text) draft(text);
      window.launchQueue?.setConsumer(({ targetURL, files }) => {
        // the first launch has the address of the page
        const later = targetURL && targetURL !== address ? sharedIn(targetURL).text : '';
        if (later) draft(later);
        if (files?.length) void Promise.all(files.map((handle) => handle.getFile())).then(open);
      });
    },
  };
}
