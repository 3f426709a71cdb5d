/**
 * What the tuner finds on this machine's GPU, in Chromium. `npm run tune -- --help` explains the options.
 *
 * A page gives the tuner 1.5 s at a time, between answers; here it gets --budget milliseconds for all shapes. Prints a
 * row for each shape of the model: µs per dispatch with the usual kernel and with the chosen one, and the rejected
 * kernels. `npm run bench:dawn -- --tune` does the same without a browser.
 */
import { resolve } from 'node:path';
import { isSoftwareAdapterName } from '../../src/backend/webgpu/adapter';
import { tuneTable } from '../measure';
import type { ProbeWindow } from '../pages/probe';
import { openProbe } from '../probe';
import { noGpu } from './bench';
import { file, flag, startTool, whole } from './options';

const values = startTool(
  'npm run tune --',
  "Shows which kernels the tuner chooses on this machine's GPU, in Chromium.",
  {
    model: file('a GGUF file'),
    budget: whole('milliseconds for all shapes', 60_000, 1),
    software: flag("Chromium's software adapter"),
    json: flag('prints one JSON object'),
  },
);
const probe = await openProbe({ webgpu: true, adapter: values.software ? 'swiftshader' : 'hardware' });
try {
  await probe.page.setInputFiles('#files', resolve(values.model));
  const { info } = await probe.run(
    (p, a) => p.load((window as unknown as ProbeWindow).chosen(), a.options, a.compile),
    {
      options: { backend: 'webgpu' as const },
      compile: { contextLength: 512, prefillBatch: 64 },
    },
  );
  if (isSoftwareAdapterName(info.device) && !values.software)
    throw new Error(`${noGpu(info.device)} With --software the tuner runs on the software adapter.`);
  const rows = await probe.run((p, budget) => p.tune(budget), values.budget);
  if (values.json) console.log(JSON.stringify({ device: info.device, variant: info.variant, rows }));
  else for (const line of [`${info.device}: ${info.variant}`, ...tuneTable(rows)]) console.log(line);
} finally {
  await probe.close();
}
