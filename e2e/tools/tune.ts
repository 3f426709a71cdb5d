/**
 * What the tuner finds on this machine's GPU, in Chromium.
 *
 *   npm run tune -- --model PATH [--budget 60000] [--software] [--json]
 *
 * PATH is a GGUF file. A page gives the tuner 1.5 s at a time, between answers; here it has --budget milliseconds for all shapes. Prints a row for
 * each shape of the model: µs of a dispatch with the usual kernel and with the one taken, and what was refused. `--software` takes Chromium's
 * software adapter. `npm run bench:dawn -- --tune` does the same without a browser.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isSoftware } from '../../src/backend/webgpu/adapter';
import { tuneTable } from '../measure';
import type { ProbeWindow } from '../pages/probe';
import { openProbe } from '../probe';

const { values } = parseArgs({
  options: { model: { type: 'string' }, budget: { type: 'string', default: '60000' }, software: { type: 'boolean' }, json: { type: 'boolean' } },
});
if (!values.model) {
  console.error('usage: npm run tune -- --model FILE.gguf [--budget 60000] [--software] [--json]');
  process.exit(2);
}
const probe = await openProbe({ webgpu: true, adapter: values.software ? 'swiftshader' : 'hardware' });
try {
  await probe.page.setInputFiles('#files', resolve(values.model));
  const { info } = await probe.run((p, a) => p.load((window as unknown as ProbeWindow).chosen(), a.options, a.compile), {
    options: { backend: 'webgpu' as const },
    compile: { contextLength: 512, chunk: 64 },
  });
  if (isSoftware(info.device) && !values.software) throw new Error(`Chromium offers no GPU here, only ${info.device}: $CHROMIUM_ARGS may name flags that this GPU needs; --software tunes on the CPU.`);
  const rows = await probe.run((p, budget) => p.tune(budget), Number(values.budget));
  if (values.json) console.log(JSON.stringify({ device: info.device, variant: info.variant, rows }));
  else for (const line of [`${info.device}: ${info.variant}`, ...tuneTable(rows)]) console.log(line);
} finally {
  await probe.close();
}
