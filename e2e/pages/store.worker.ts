/** The same calls from a worker. */
import { calls } from './store_calls';

onmessage = async ({ data: { source, options } }: MessageEvent<{ source: string; options: object }>) =>
  postMessage(await calls.load(source, options));
