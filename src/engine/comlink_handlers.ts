/** Makes Comlink carry an AbortSignal as an argument, and the parts of an error. Page and worker both import it. */
import { transferHandlers, type TransferHandler } from 'comlink';
import { RivuletError } from '../errors';

interface SentSignal {
  aborted: boolean;
  port: MessagePort;
}

const signalHandler: TransferHandler<AbortSignal, SentSignal> = {
  // also one of another window
  canHandle: (value): value is AbortSignal => typeof value === 'object' && value !== null && 'aborted' in value,
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

transferHandlers.set('AbortSignal', signalHandler);

// Comlink sends the name, message and stack of an error; the receiver copies every field that arrives
const errorHandler = transferHandlers.get('throw') as TransferHandler<{ value: unknown }, { value: object }>;
const { serialize } = errorHandler;
errorHandler.serialize = ({ value }) => {
  const sent = serialize({ value });
  if (value instanceof RivuletError) Object.assign(sent[0].value, value);
  return sent;
};
