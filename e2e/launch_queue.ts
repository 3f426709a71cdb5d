/**
 * What another app hands over to the installed page. No browser under automation delivers a launch, so a queue stands
 * in its place that a test fills.
 */
import type { BrowserContext, Page } from 'playwright';

export interface HandedFile {
  name: string;
  text: string;
}

interface QueueWindow {
  launch(params: { targetURL?: string; files?: { getFile(): Promise<File> }[] }): void;
}

/** Before the page starts. What is launched before the page listens waits for it, as in the browser's own queue. */
export const addLaunchQueue = (context: BrowserContext): Promise<unknown> =>
  context.addInitScript(() => {
    type Params = Parameters<QueueWindow['launch']>[0];
    const waiting: Params[] = [];
    let consumer: ((params: Params) => void) | undefined;
    const setConsumer = (given: (params: Params) => void): void => {
      consumer = given;
      for (const params of waiting.splice(0)) given(params);
    };
    Object.defineProperty(window, 'launchQueue', { value: { setConsumer }, configurable: true });
    Object.assign(window, { launch: (params: Params) => (consumer ? consumer(params) : waiting.push(params)) });
  });

/** Another app shares a text with the open page. Lone halves of pairs do not survive in an address. */
export const shareText = (page: Page, text: string): Promise<void> =>
  page.evaluate((shared) => {
    const address = new URL(location.href);
    address.searchParams.set('text', shared);
    (window as unknown as QueueWindow).launch({ targetURL: address.href });
  }, text.toWellFormed());

/** Files of text are opened with the page. They go as JSON: halves of pairs would be lost. */
export const openTexts = (page: Page, files: readonly HandedFile[]): Promise<void> =>
  page.evaluate((json) => {
    const handles = (JSON.parse(json) as HandedFile[]).map(({ name, text }) => ({
      kind: 'file',
      name,
      getFile: async () => new File([text], name),
    }));
    (window as unknown as QueueWindow).launch({ files: handles });
  }, JSON.stringify(files));

/** A file of the page's own host is opened with the page under another name. */
export const openServed = (page: Page, path: string, name: string): Promise<void> =>
  page.evaluate(
    async ([from, json]) => {
      const bytes = await (await fetch(from)).blob();
      const named = JSON.parse(json) as string;
      (window as unknown as QueueWindow).launch({ files: [{ getFile: async () => new File([bytes], named) }] });
    },
    [path, JSON.stringify(name)],
  );
