import { expect, test } from 'vitest';
import { describeDownload, describeFit } from './describe';
import type { Download } from './downloads';
import type { Device } from './recommend';

const download: Download = { source: 's', name: 'n', state: 'running', done: 75e6, total: 219e6, rate: 3e6, eta: 48 };
const plain = (text: string): string => text.replaceAll('\u00a0', ' ');

test.each<[Partial<Download>, string]>([
  [{}, '75 MB of 219 MB · 3.0 MB/s · 48 s left'],
  [{ rate: 0, eta: undefined }, '75 MB of 219 MB'],
  [{ done: 0, total: 0, rate: 0 }, 'Starting…'],
  [{ state: 'paused' }, 'Paused at 75 MB of 219 MB. It goes on from there.'],
  [
    { state: 'waiting' },
    'There is no network. 75 MB of 219 MB are kept, and the download goes on when the network is back.',
  ],
  [{ state: 'failed', problem: { title: '', text: 'Check the name.' } }, 'Check the name. 75 MB of 219 MB are kept.'],
  [{ state: 'failed', done: 0 }, 'The download has failed.'],
  [{ state: 'done' }, 'It is stored on this device.'],
])('%o', (change, wanted) => expect(plain(describeDownload({ ...download, ...change }))).toBe(wanted));

test('fit and speed, with the certainty that they have', () => {
  const device: Device = { memory: 4e9, mobile: false, saveData: false, backend: 'wasm', threads: 2 };
  expect(plain(describeFit({ megabytes: 200 }, device))).toBe(
    'Fits on this device. About 40 tokens a second, estimated.',
  );
  expect(plain(describeFit({ megabytes: 200 }, { ...device, throughput: 10e9 }))).toBe(
    'Fits on this device. About 50 tokens a second.',
  );
  expect(plain(describeFit({ megabytes: 1500 }, { ...device, throughput: 9e9 }))).toBe(
    'Just fits on this device. About 6.0 tokens a second.',
  );
  expect(describeFit({ megabytes: 4000 }, device)).toBe('Needs more memory than a page has on this device.');
});
