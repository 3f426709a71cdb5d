import { expect, test, vi } from 'vitest';
import { checkReachable } from './reach';

const page = { onLine: true, secure: true };
const failed = (): Promise<Response> => Promise.reject(new TypeError('Failed to fetch'));

test('one request where it succeeds, whatever the status', async () => {
  for (const status of [200, 206, 404, 503]) {
    const send = vi.fn<typeof fetch>(async () => new Response(status === 204 ? null : 'x', { status }));
    await checkReachable('Org/Repo:Q4_0', { fetch: send, page });
    expect(send.mock.calls.map(([url]) => String(url))).toEqual([
      'https://huggingface.co/api/models/Org/Repo/revision/main',
    ]);
  }
});

test.each([
  ['Org/Repo/file.gguf', 'http://127.0.0.1:99/api/models/Org/Repo/revision/main'],
  ['Org/Repo@main', 'http://127.0.0.1:99/api/models/Org/Repo/revision/main'],
  ['https://a.b/models/m.gguf?x', 'https://a.b/models/m.gguf?x'],
])('%s asks %s', async (source, wanted) => {
  const send = vi.fn<typeof fetch>(async () => new Response('x'));
  await checkReachable(source, { hub: 'http://127.0.0.1:99/', fetch: send, page });
  expect(String(send.mock.calls[0][0])).toBe(wanted);
});

test('without a network nothing is asked, except of this device', async () => {
  const send = vi.fn<typeof fetch>(async () => new Response('x'));
  await expect(checkReachable('Org/Repo', { fetch: send, page: { ...page, onLine: false } })).rejects.toMatchObject({
    name: 'SourceError',
    message: expect.stringMatching(/^This device has no network/),
  });
  expect(send).not.toHaveBeenCalled();
  await checkReachable('http://127.0.0.1:99/m.gguf', { fetch: send, page: { ...page, onLine: false } });
  expect(send).toHaveBeenCalledOnce();
});

test('an address that the browser would block', () =>
  expect(checkReachable('http://a.b/m.gguf', { fetch: failed, page })).rejects.toMatchObject({
    message: expect.stringMatching(/^a\.b cannot be read from this page: the page uses https/),
  }));

test('a host that answers, but not to this page', async () => {
  const send = vi.fn<typeof fetch>((_, options) =>
    options?.mode === 'no-cors' ? Promise.resolve(new Response(null)) : failed(),
  );
  await expect(checkReachable('https://a.b/m.gguf', { fetch: send, page })).rejects.toMatchObject({
    message: expect.stringMatching(/^a\.b does not allow this page to read its files \(CORS\)/),
  });
});

test('a host that does not answer', () =>
  expect(checkReachable('https://a.b/m.gguf', { fetch: failed, page })).rejects.toMatchObject({
    message: expect.stringMatching(/^a\.b cannot be reached/),
  }));

test('an abort stays an abort', async () => {
  const controller = new AbortController();
  controller.abort();
  const send: typeof fetch = () => Promise.reject(new DOMException('aborted', 'AbortError'));
  await expect(
    checkReachable('https://a.b/m.gguf', { fetch: send, signal: controller.signal, page }),
  ).rejects.toMatchObject({ name: 'AbortError' });
});

test('what is no address is left to the library', () =>
  checkReachable('not a model', { fetch: failed, page: { ...page, onLine: true } }).catch(() => expect.unreachable()));
