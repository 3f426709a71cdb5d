const { port1, port2 } = new MessageChannel();
const waiting: (() => void)[] = [];

function wake(): void {
  waiting.shift()?.();
  if (waiting.length === 0) port1.onmessage = null; // a port that listens keeps Node alive
}

/** Lets the messages that wait be handled: an abort, for one. A timer would cost 4 ms each time (HTML, nested timers). */
export function pause(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    port1.onmessage = wake;
    port2.postMessage(0);
  });
}
