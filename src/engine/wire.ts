/** What Comlink does not carry by itself: an AbortSignal as an argument, and the parts of an error. Imported on both sides. */
import { transferHandlers, type TransferHandler } from 'comlink';
import { RivuletError } from '../errors';

interface Wired {
  aborted: boolean;
  port: MessagePort;
}

const handler: TransferHandler<AbortSignal, Wired> = {
  canHandle: (value): value is AbortSignal => value instanceof AbortSignal,
  serialize(signal) {
    const { port1, port2 } = new MessageChannel();
    signal.addEventListener('abort', () => port1.postMessage('abort'), { once: true });
    return [{ aborted: signal.aborted, port: port2 }, [port2]];
  },
  deserialize({ aborted, port }) {
    const controller = new AbortController();
    if (aborted) controller.abort();
    else port.onmessage = () => controller.abort();
    return controller.signal;
  },
};

transferHandlers.set('AbortSignal', handler);

// Comlink sends { name, message, stack } of an error, and the other side copies every field that it gets
const thrown = transferHandlers.get('throw') as TransferHandler<{ value: unknown }, { value: object }>;
const { serialize } = thrown;
thrown.serialize = ({ value }) => {
  const sent = serialize({ value });
  if (value instanceof RivuletError) Object.assign(sent[0].value, value);
  return sent;
};
