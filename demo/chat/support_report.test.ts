import { expect, test } from 'vitest';
import type { Model } from '../../src/index';
import { publicAddress, reportText, supportReport, type ReportParts } from './support_report';

const parts: ReportParts = {
  version: '1.2.3',
  now: new Date(0),
  page: {
    address: 'https://a.b/chat/?backend=wasm&q=my+secret#also',
    secure: true,
    isolated: true,
    installed: false,
    serviceWorker: false,
  },
  browser: { userAgent: 'Agent/1', online: true },
  device: { memory: 8, cores: 4, saveData: false, screen: '1440×900' },
  model: {
    id: 'O/M/M-Q4_0.gguf',
    name: 'M',
    quantization: 'Q4_0',
    bytes: 219e6,
    contextLength: 4096,
    cached: true,
    backend: { name: 'wasm', device: 'relaxed-simd × 2', variant: 'relaxed', notes: ['WebGPU: none'], threads: 2 },
    notes: ['WebGPU: none'],
    memory: 240e6,
    sampling: {},
    chat: true,
    loadMs: 1234.56,
  } as unknown as Model['info'],
  settings: { backend: 'auto' },
  replies: [
    { model: 'M', backend: 'wasm', finish: 'stop', tokens: 12, tokensPerSecond: 40.123456, firstTokenMs: 130.98765 },
  ],
  storage: {
    quota: 1e10,
    usage: 2.2e8,
    persisted: false,
    models: [{ id: 'M', bytes: 219e6, storedBytes: 219e6, complete: true, pinned: false }],
  },
  errors: [
    {
      time: '1970-01-01T00:00:00.000Z',
      name: 'SourceError',
      what: 'x cannot be reached',
      got: '404',
      wanted: '200',
      cure: 'Check.',
    },
  ],
};

test('the report names page, browser, device, model, backend, replies, storage and errors', () => {
  const report = JSON.parse(reportText(parts));
  expect(report).toMatchObject({
    version: '1.2.3',
    time: '1970-01-01T00:00:00.000Z',
    page: { address: 'https://a.b/chat/?backend=wasm', isolated: true },
    browser: { userAgent: 'Agent/1' },
    device: { cores: 4 },
    gpu: 'no WebGPU',
    model: {
      id: 'O/M/M-Q4_0.gguf',
      quantization: 'Q4_0',
      loadMs: 1235,
      backend: { name: 'wasm', variant: 'relaxed', notes: ['WebGPU: none'] },
    },
    replies: [{ tokens: 12, tokensPerSecond: 40.12, firstTokenMs: 131 }],
    storage: { persisted: false, models: [{ id: 'M', complete: true }] },
    errors: [{ name: 'SourceError', got: '404', wanted: '200', cure: 'Check.' }],
  });
});

test('without a model it says so', () =>
  expect(supportReport({ ...parts, model: undefined })).toMatchObject({ model: 'no model is loaded' }));

test('an address keeps the options of the page and nothing else', () => {
  expect(publicAddress('https://me:word@a.b/x/?q=private&model=a/b&threads=2#c')).toBe(
    'https://a.b/x/?threads=2&model=a/b',
  );
  expect(reportText(parts)).not.toContain('secret');
});
