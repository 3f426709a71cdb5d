/**
 * A page as a user has it, without automation in the browser: loads a model with the built library, generates, and
 * posts what it saw to /report.
 */
import type { LoadCallOptions } from '../../src/index';

declare const rivulet: typeof import('../../src/index');

const query = new URLSearchParams(location.search);
const start = performance.now();
const report: Record<string, unknown> = {};
try {
  const options: LoadCallOptions = { backend: 'wasm', threads: Number(query.get('threads') ?? 2), contextLength: 1024 };
  await fetch('/mark?loading');
  const model = await rivulet.load(new URL(query.get('model') ?? '', location.href).href, options);
  report.loadMs = performance.now() - start;
  report.cached = model.info.cached;
  report.notes = model.info.notes;
  report.memory = model.info.memory;
  const stream = model.generate('Once upon a time', { maxTokens: 16, temperature: 0 });
  for await (const text of stream) report.firstTextMs ??= text && performance.now() - start;
  report.tokens = (await stream.result).tokens;
} catch (error) {
  report.error = String(error);
}
await fetch('/report', { method: 'POST', body: JSON.stringify(report) });
