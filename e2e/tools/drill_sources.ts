/**
 * npm run drill:sources -- --seed S --runs N [--json]
 *
 * Each run: a model source, a place where the script stands (e2e/places.ts), a call and a few options, all drawn by the
 * seed, right ones and wrong ones. The call must end with the model's answer, or with an error of a documented name and
 * a whole message. It never waits beyond 15 s without a call of onProgress. No token reaches another host than the hub.
 * One line a run; exit status 1 if anything was wrong.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { createHub, seeded, sha256Of, type Hub } from '../hub';
import { openPlaces, PLACES, sendBytes, type Places } from '../places';
import { flag, startTool, whole } from './options';
import { scriptedGguf } from './scripted_model';
import { tinyDirectory } from './tiny';

const SAYS = 'Hello world';
const FILE = 'M-Q4_0.gguf';
const NAMES = [
  'CheckpointError',
  'SourceError',
  'StorageError',
  'MemoryError',
  'DeviceError',
  'ContextError',
  'RequestError',
];
const MAX_SILENCE_MS = 15_000;
const LONGEST_MS = 18_000; // a call that still runs is aborted
const AFTER_ABORT_MS = 8000;

export interface Outcome {
  seed: number;
  place: string;
  source: string;
  call: string;
  options: string;
  /** 'answered', or the error */
  told: string;
  /** the longest time without a call of onProgress */
  silence: number;
  wrong: string[];
}

export interface Drill {
  run(seed: number): Promise<Outcome>;
  /** runs some at a time, in the order of their seeds */
  series(first: number, runs: number, told?: (outcome: Outcome) => void): Promise<string[]>;
  close(): Promise<void>;
}

interface Addresses {
  site: string;
  /** lets no other origin read its files */
  closed: string;
  hub: string;
}

/** Answers of the server under /odd/. */
const ODD: Record<string, (response: import('node:http').ServerResponse, doll: Uint8Array, at: Addresses) => unknown> =
  {
    'missing.gguf': (response) => response.writeHead(404).end(),
    'gated.gguf': (response) => response.writeHead(401).end(),
    'error.gguf': (response) => response.writeHead(500).end(),
    'busy.gguf': (response) => response.writeHead(429, { 'retry-after': '120' }).end(),
    'silent.gguf': () => true,
    'page.gguf': (response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title>'),
    'moved.gguf': (response, _, { closed }) => response.writeHead(302, { location: `${closed}/doll.gguf` }).end(),
    'compressed.gguf': (response, doll) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(doll)),
    'whole.gguf': (response, doll) => response.writeHead(200, { 'content-length': doll.length }).end(doll),
    'no_length.gguf': (response, doll) => (response.write(doll.subarray(0, 9999)), response.end(doll.subarray(9999))),
    'cut.gguf': (response, doll) => (
      response.writeHead(200, { 'content-length': doll.length }),
      response.write(doll.subarray(0, 5000), () => response.destroy())
    ),
    'stopped.gguf': (response, doll) => (
      response.writeHead(200, { 'content-length': doll.length }),
      response.write(doll.subarray(0, 5000))
    ),
    'short.gguf': (response, doll) =>
      response.writeHead(200, { 'content-length': 70_000 }).end(doll.subarray(0, 70_000)),
    'noise.gguf': (response, doll) =>
      response
        .writeHead(200, { 'content-length': 5000 })
        .end(Buffer.concat([doll.subarray(0, 24), Buffer.alloc(4976, 7)])),
    'other.bin': (response) => response.writeHead(200, { 'content-length': 5000 }).end(Buffer.alloc(5000, 7)),
    'empty.gguf': (response) => response.writeHead(200, { 'content-length': 0 }).end(),
  };

/** Sources as expressions; `bytes` is the model, `part` a part of it. */
const SOURCES: Record<string, (at: Addresses) => string> = {
  'a file beside the page': () => "'./doll.gguf'",
  'a path': () => "'/doll.gguf'",
  'a whole address': ({ site }) => `'${site}/doll.gguf'`,
  'a URL object': ({ site }) => `new URL('${site}/doll.gguf')`,
  'a list of addresses': ({ site }) => `{ url: ['${site}/doll.gguf'] }`,
  'an address twice': ({ site }) => `{ url: ['${site}/doll.gguf', '${site}/doll.gguf'] }`,
  'no address': () => '{ url: [] }',
  'a signed address': ({ site }) => `'${site}/doll.gguf?X-Amz-Signature=' + Math.random()`,
  'a folder': ({ site }) => `'${site}/'`,
  'an id of a hub': () => "'Org/Repo'",
  'an id with a type': () => "'Org/Repo:Q4_0'",
  'an id with a type that is not there': () => "'Org/Repo:Q8_0'",
  'an id with a revision': () => "'Org/Repo@main'",
  'a directory of a hub': () => "'Org/Directory'",
  'an id of no repository': () => "'Org/Nothing'",
  'a path without ./': () => "'models/doll.gguf'",
  'another origin without CORS': ({ closed }) => `'${closed}/doll.gguf'`,
  'a port where nobody listens': () => "'http://127.0.0.1:9/doll.gguf'",
  'a host that does not exist': () => "'https://no-such-host.invalid/doll.gguf'",
  'a password in the address': () => "'http://a:b@127.0.0.1:9/doll.gguf'",
  'an address of an app': () => "'capacitor://localhost/doll.gguf'",
  'an address of the disk': () => "'file:///doll.gguf'",
  'a blob: address': () => "URL.createObjectURL?.(new Blob([bytes])) ?? 'blob:none'",
  'a data: address': () => "'data:application/octet-stream;base64,R0dVRg=='",
  'a file': () => "new File([bytes], 'doll.gguf')",
  'a blob': () => 'new Blob([bytes])',
  'a named blob': () => "{ file: new Blob([bytes]), name: 'doll.gguf' }",
  'a list of files': () => "{ files: [new File([bytes], 'doll.gguf'), new File(['a'], 'README.md')] }",
  'files of no model': () => "{ files: [new File(['a'], 'README.md')] }",
  'a part of a file': () => "new File([part], 'doll.gguf')",
  'a promise': () => "Promise.resolve('./doll.gguf')",
  'the bytes': () => 'bytes',
  nothing: () => 'undefined',
  'a number': () => '5',
  'an empty text': () => "''",
  'an odd text': () => "'\\ud800 //\\n%zz:@#?'",
  ...Object.fromEntries(Object.keys(ODD).map((name) => [name, ({ site }: Addresses) => `'${site}/odd/${name}'`])),
};

/** Options of load() and downloadModel(), as source text. */
const OPTIONS: Record<string, (hash: string) => string[]> = {
  cache: () => ['false', "'required'", 'true', "'never'"],
  refresh: () => ['true'],
  check: () => ["'full'"],
  sha256: (hash) => [`'${hash}'`, `'${'0'.repeat(64)}'`, '7', `{ 'doll.gguf': '${hash}' }`],
  id: () => ["'own'", "'a b/ä'"],
  backend: () => ["'wasm'", "'webgpu'", "'auto'", "'cpu'"],
  threads: () => ['1', '2', '64', '0'],
  contextLength: () => ['16', '300', '1e9', '-1'],
  exact: () => ['true'],
  variant: () => ["'simd'", "'relaxed'"],
  token: () => ["'hf_a'", "'hf_\\u0442'", "'hf_a\\n'", '5'],
  hub: () => ["'./hub'", "'http://127.0.0.1:9'", "'nonsense'", "''"],
  makeRoom: () => ['true', '() => { throw new Error("of the page") }'],
  policy: () => ['{ connections: 1 }', '{ stall: 2000, attempts: 2 }', '{ chunkBytes: 65536 }'],
  max_tokens: () => ['5'],
  onProgress: () => ['() => { throw new Error("of the page") }', '() => new Promise(() => {})', '5'],
  nothing: () => ['null'],
};

export async function openDrill(): Promise<Drill> {
  const doll = scriptedGguf(['Hel', 'lo', ' wor', 'ld']);
  const leaked: string[] = [];
  const at: Addresses = { site: '', closed: '', hub: '' };
  const other = createServer((request, response) => {
    if (request.headers.authorization) leaked.push(request.url!);
    sendBytes(doll, request, response);
  });
  await new Promise<void>((ready) => other.listen(0, '127.0.0.1', ready));
  const hub: Hub = await createHub({
    repos: { 'Org/Repo': { [FILE]: doll }, 'Org/Directory': tinyDirectory({}) as Record<string, Uint8Array> },
    lfsFrom: 1000,
  });
  const places: Places = await openPlaces({
    files: { 'doll.gguf': doll },
    answer: (request, response) => {
      if (request.headers.authorization) leaked.push(request.url!);
      const odd = ODD[request.url!.replace('/odd/', '')];
      if (odd)
        return odd(
          response
            .setHeader('access-control-allow-origin', '*')
            .setHeader('cross-origin-resource-policy', 'cross-origin'),
          doll,
          at,
        );
      return undefined;
    },
  });
  Object.assign(at, {
    site: places.origin,
    closed: `http://127.0.0.1:${(other.address() as AddressInfo).port}`,
    hub: hub.origin,
  });
  const hash = sha256Of(doll);
  const packed = gzipSync(doll).toString('base64');

  async function run(seed: number): Promise<Outcome> {
    const random = seeded(seed);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];
    const [place, source] = [pick(PLACES), pick(Object.keys(SOURCES))];
    const call = random() < 0.8 ? 'load' : 'downloadModel';
    const drawn = new Map(
      Array.from({ length: Math.floor(random() * 4) }, () => pick(Object.keys(OPTIONS))).map((name) => [
        name,
        pick(OPTIONS[name](hash)),
      ]),
    );
    const abortAfter = random() < 0.15 ? Math.floor(random() * 3000) : LONGEST_MS;
    const options = [...drawn].map(([name, value]) => `${name}: ${value}`).join(', ');
    const found = await places.open(place);
    let got: { text?: string; name?: string; message?: string; silence: number; aborted: boolean };
    try {
      got = (await found.run(`(async () => {
        const bytes = new Uint8Array(await new Response(new Blob([Uint8Array.from(atob('${packed}'), (c) => c.charCodeAt(0))]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer());
        const part = bytes.subarray(0, 70000);
        const source = ${SOURCES[source](at)};
        const controller = new AbortController();
        let [last, silence] = [performance.now(), 0];
        const heard = () => {
          silence = Math.max(silence, performance.now() - last);
          last = performance.now();
        };
        const given = { hub: '${at.hub}', ${options} };
        const own = given.onProgress ?? (() => undefined);
        const onProgress = typeof own === 'function' ? (progress) => (heard(), own(progress)) : own;
        const work = (async () => {
          const made = await rivulet.${call}(source, { signal: controller.signal, ...given, onProgress });
          if (typeof made === 'string') return '${SAYS}';
          const { text } = await made.chat([{ role: 'user', content: 'x' }], { signal: controller.signal, temperature: 0, maxTokens: 4 }).result;
          await made.unload();
          return text;
        })();
        setTimeout(() => controller.abort(), ${abortAfter});
        const late = new Promise((resolve, reject) => setTimeout(() => reject(new Error('no end')), ${abortAfter + AFTER_ABORT_MS}));
        const end = await Promise.race([work, late]).then((text) => ({ text }), (error) => ({ name: String(error?.name), message: String(error?.message ?? error) }));
        heard();
        return { ...end, silence, aborted: controller.signal.aborted };
      })()`)) as typeof got;
    } catch (error) {
      got = { name: 'the place failed', message: String(error), silence: 0, aborted: false };
    } finally {
      await found.close();
    }
    const { text, name = '', message = '', aborted } = got;
    const wrong: string[] = [];
    const ofDirectory = source === 'a directory of a hub'; // says what its random weights say
    if (text === undefined && !NAMES.includes(name) && !(name === 'AbortError' && aborted))
      wrong.push(`the error has no documented name: ${name}: ${message}`);
    if (text !== undefined && text !== SAYS && !ofDirectory && !aborted)
      wrong.push(`the answer is ${JSON.stringify(text)}`);
    if (/undefined|\[object|NaN/.test(message.replace(/is not defined/g, '')))
      wrong.push(`the message is not whole: ${message}`);
    if (got.silence > MAX_SILENCE_MS) wrong.push(`${Math.round(got.silence)} ms without a call of onProgress`);
    if (leaked.length) wrong.push(`the token reached ${leaked.splice(0).join(', ')}`);
    return {
      seed,
      place,
      source,
      call,
      options,
      told: text === undefined ? `${name}: ${message}` : 'answered',
      silence: Math.round(got.silence),
      wrong,
    };
  }

  const AT_ONCE = 6;
  async function series(first: number, runs: number, told?: (outcome: Outcome) => void): Promise<string[]> {
    const wrong: string[] = [];
    let next = first;
    const worker = async (): Promise<void> => {
      while (next < first + runs) {
        const outcome = await run(next++);
        told?.(outcome);
        const { seed, place, source, call, options } = outcome;
        wrong.push(
          ...outcome.wrong.map((what) => `seed ${seed}: ${source}, ${place}, ${call}({ ${options} }): ${what}`),
        );
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return wrong;
  }

  async function close(): Promise<void> {
    await places.close();
    await hub.close();
    other.closeAllConnections();
    await new Promise((closed) => other.close(closed));
  }
  return { run, series, close };
}

if (process.argv[1]?.endsWith('drill_sources.ts')) {
  const { seed, runs, json } = startTool(
    'npm run drill:sources --',
    'Loads models from drawn sources in drawn places with drawn options, and checks how each call ends.',
    {
      seed: whole('the first seed', 1),
      runs: whole('how many runs, each with the next seed', 300, 1),
      json: flag('prints one JSON line per run'),
    },
  );
  const drill = await openDrill();
  const ends: Record<string, number> = {};
  const wrong = await drill.series(seed, runs, (outcome) => {
    const { seed, place, source, call, options, told, silence } = outcome;
    const end = told.split(':')[0];
    ends[end] = (ends[end] ?? 0) + 1;
    console.log(
      json
        ? JSON.stringify(outcome)
        : `seed ${seed}: ${source}, ${place}, ${call}({ ${options} }): ${told.slice(0, 160)} (${silence} ms)${outcome.wrong.map((what) => `\n  WRONG: ${what}`).join('')}`,
    );
  });
  await drill.close();
  console.log(JSON.stringify({ runs, ends, wrong }));
  process.exit(wrong.length ? 1 : 0);
}
