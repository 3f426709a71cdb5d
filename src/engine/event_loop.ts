const { port1, port2 } = new MessageChannel();
const waiting: (() => void)[] = [];

function wake(): void {
  waiting.shift()?.();
  if (waiting.length === 0) port1.onmessage = null; // a listening port keeps Node alive
}

/** Lets waiting messages be handled, such as an abort. A timer would take 4 ms each time (HTML, nested timers). */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    port1.onmessage = wake;
    port2.postMessage(0);
  });
}

export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
