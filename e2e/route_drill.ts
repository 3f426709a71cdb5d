/**
 * One seeded conversation over a router whose servers misbehave. What the right answer is follows from the request, so
 * every server and the device know it: word n of an answer stands once, and a private text stands among the words.
 */
import { createRouter, PRESETS, type Environment, type Policy, type RouterOptions } from '../src/router/index';
import { createCloud, type Act, type CloudBody, type CloudServer } from './cloud_server';
import { seeded } from './hub';
import { createScriptedModel, engineError } from './scripted_model';

const KEY = 'sk-drill-0123456789abcdefghij';
const DEADLINES = { connectMs: 200, firstTokenMs: 200, stallMs: 200, totalMs: 6000 };
const CODES =
  /^(connect_timeout|first_token_timeout|stalled|total_timeout|network|redirected|not_openai|bad_json|bad_stream|stream_cut|too_large|wrong_model|unauthorized|payment_required|forbidden|rate_limited|server_failed|no_route|device_error)$/;
const TERM = 'Project Falcon';
const PRIVATE = [
  'ada.lovelace@example.org',
  '4539 5787 6362 1486',
  'DE89 3704 0044 0532 0130 00',
  '+49 30 901820-17',
  'ghp_abcdefghijklmnopqrstuvwxyz0123456789',
  '203.0.113.77',
  TERM,
];

export interface RouteDrillResult {
  seed: number;
  /** how each turn ended: 'local', 'cloud', the code of an error, 'stopped' */
  turns: string[];
  wrong: string[];
}

type Random = () => number;
const oneOf = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)];

/** The right answer to a request; undefined if it is none of the drill's. */
function answerTo(messages: readonly { role: string; content?: unknown }[]): string | undefined {
  const asked = messages.findLast(({ role, content }) => role === 'user' && String(content).startsWith('Turn'));
  const parts = /^Turn (\d+) with (\d+) words and <(.*)>/s.exec(String(asked?.content));
  if (!parts) return undefined;
  const [, turn, n, item] = parts;
  const words = Array.from({ length: Number(n) }, (_, i) => `t${turn}w${i}`);
  words.splice(Math.floor(words.length / 2), 0, item);
  return words.join(' ');
}

/** What a server says: the rest of an answer that was begun, or more than that where it was only asked in words. */
function sayOf(random: Random, wrong: string[]): NonNullable<Act['say']> {
  return ({ messages, continue_final_message }: CloudBody) => {
    const whole = answerTo(messages) ?? '';
    const goesOn = !continue_final_message && /^Your answer was cut off/.test(String(messages.at(-1)?.content));
    const begun = continue_final_message ? messages.at(-1)!.content : goesOn ? messages.at(-2)!.content : '';
    if (!whole.startsWith(begun)) wrong.push(`a server was shown an answer that is none: ${begun}`);
    const again = goesOn ? oneOf(random, [0, 0, Math.min(20, begun.length), begun.length]) : 0;
    return piecesOf(random, whole.slice(begun.length - again));
  };
}

function piecesOf(random: Random, text: string): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    const length = 1 + Math.floor(random() * 12);
    pieces.push(text.slice(at, at + length));
    at += length;
  }
  return pieces;
}

/** One act by chance: half of them are right. */
function actOf(random: Random, say: NonNullable<Act['say']>, elsewhere: string): Act {
  const at = Math.floor(random() * 6);
  const bad: Act[] = [
    { say, cutAfter: at },
    { say, cutAfter: at, delays: { pieces: 3 } },
    { say, stallAfter: at },
    { say, wrongAfter: at },
    { say, wrongAfter: at, wrong: 'data: \u0000\u0001{"choices":7}\n\n' },
    { say, endless: true },
    { say, model: 'another' },
    { say, delays: { headers: 400 } },
    { say, delays: { first: 400 } },
    { status: 200, headers: { 'content-type': 'text/html' }, body: '<html></html>' },
    { status: 200, body: '{"choices":[{"mess' },
    { status: 429 },
    { status: 429, headers: { 'retry-after': '0.05' } },
    { status: 429, headers: { 'retry-after': '60' } },
    { status: 500, body: KEY },
    { status: 503, headers: { 'retry-after': '0.1' } },
    { status: 401 },
    { status: 402 },
    { status: 307, headers: { location: elsewhere } },
    { reset: true },
    { silent: true },
    { hugeMb: 3 },
  ];
  if (random() < 0.5) return oneOf(random, bad);
  return { say, json: random() < 0.15, delays: { pieces: random() < 0.3 ? 2 : 0 } };
}

/** A network that goes away: requests fail, and what is under way stands still. */
function createNetwork(): Partial<Environment> & { set(online: boolean): void } {
  const listeners = new Set<(online: boolean) => void>();
  let online = true;
  return {
    online: () => online,
    onOnline(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    set(now) {
      online = now;
      for (const listener of listeners) listener(now);
    },
    async fetch(input, init) {
      if (!online) throw new TypeError('Failed to fetch');
      const response = await fetch(input, init);
      if (!response.body) return response;
      const held = response.body.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          async transform(piece, controller) {
            while (!online) await new Promise((go) => setTimeout(go, 5));
            controller.enqueue(piece);
          },
        }),
      );
      return new Response(held, { status: response.status, headers: response.headers });
    },
  };
}

const CASCADE: Policy = {
  name: 'cascade',
  rules: [{ id: 'odd', when: { tags: { has: 'odd' } }, route: 'cloud-then-local' }],
  otherwise: 'local-then-cloud',
  hedge: { afterMs: 40, share: 1 },
};
const POLICIES: NonNullable<RouterOptions['policy']>[] = [...Object.values(PRESETS), CASCADE];

/** @returns what happened, and what of it is wrong */
export async function drillRoute(seed: number): Promise<RouteDrillResult> {
  const random = seeded(seed);
  const wrong: string[] = [];
  const turns: string[] = [];
  const elsewhere = await createCloud({});
  const say = sayOf(random, wrong);
  const acts = (): Act[] => {
    const storm: Act[] = random() < 0.1 ? Array<Act>(6).fill({ status: 429 }) : [];
    return [...storm, ...Array.from({ length: 40 }, () => actOf(random, say, elsewhere.baseURL))];
  };
  const servers = await Promise.all(Array.from({ length: 1 + Math.floor(random() * 3) }, () => createCloud(...acts())));
  const network = createNetwork();
  const local = createScriptedModel(({ messages, options }) => {
    const whole = answerTo(messages) ?? '';
    const last = messages.at(-1)!;
    return options.continueFinalMessage ? whole.slice(String(last.content).length) : whole;
  });
  const words = Math.floor(random() * 12);
  const failing: typeof local = {
    ...local,
    chat(messages, options) {
      const whole = answerTo(messages) ?? '';
      const begun = options?.continueFinalMessage ? String(messages.at(-1)!.content).length : 0;
      const script = [whole.slice(begun, begun + words * 3), engineError('DeviceError', 'The GPU is gone')];
      return createScriptedModel(script).chat(messages, options);
    },
  };
  const isPrivate = random() < 0.15;
  const router = createRouter({
    ...(random() < 0.75 && { local: random() < 0.3 ? { failing, local } : local }),
    cloud: servers.map(({ baseURL }, i) => ({
      name: `s${i}`,
      baseURL,
      model: 'm',
      key: KEY,
      order: random() < 0.5 ? 0 : i,
      continues: random() < 0.6,
    })),
    policy: oneOf(random, POLICIES),
    redact: { terms: [TERM] },
    deadlines: DEADLINES,
    retries: { most: 3, baseMs: 20, capMs: 200 },
    breaker: { failures: 3, openMs: 100, maxOpenMs: 400 },
    environment: { ...network, random: seeded(seed + 1) },
  });
  const messages: { role: 'user' | 'assistant'; content: string }[] = [];
  for (let turn = 0; turn < 3; turn++) {
    messages.push({
      role: 'user',
      content: `Turn ${turn} with ${4 + Math.floor(random() * 30)} words and <${oneOf(random, PRIVATE)}>`,
    });
    const flips = random() < 0.25 ? [Math.floor(random() * 60), 20 + Math.floor(random() * 300)] : undefined;
    const abortAfter = random() < 0.06 ? Math.floor(random() * 80) : undefined;
    const { told, text } = await oneTurn({
      router,
      messages,
      network,
      flips,
      abortAfter,
      isPrivate,
      stream: random() < 0.7,
    });
    turns.push(told);
    const right = answerTo(messages)!;
    const answered = told === 'local' || told === 'cloud';
    if (answered ? text !== right : !right.startsWith(text))
      wrong.push(`turn ${turn} (${told}): ${text} is not ${right}`);
    if (!answered && told !== 'stopped' && !CODES.test(told)) wrong.push(`turn ${turn}: the error ${told}`);
    if (!answered) messages.pop();
    else messages.push({ role: 'assistant', content: text });
  }
  router.close();
  await new Promise((go) => setTimeout(go, 20));
  await checkRecords(servers, router, wrong);
  if (isPrivate && servers.some(({ requests }) => requests.length)) wrong.push('a private conversation left');
  if (elsewhere.requests.length) wrong.push('a redirect was followed');
  await Promise.all([...servers, elsewhere].map((server) => server.close()));
  return { seed, turns, wrong };
}

interface Turn {
  router: ReturnType<typeof createRouter>;
  messages: readonly { role: 'user' | 'assistant'; content: string }[];
  network: ReturnType<typeof createNetwork>;
  flips: number[] | undefined;
  abortAfter: number | undefined;
  isPrivate: boolean;
  stream: boolean;
}

async function oneTurn({
  router,
  messages,
  network,
  flips,
  abortAfter,
  isPrivate,
  stream,
}: Turn): Promise<{ told: string; text: string }> {
  const stop = new AbortController();
  const timers = abortAfter === undefined ? [] : [setTimeout(() => stop.abort(), abortAfter)];
  if (flips) {
    timers.push(setTimeout(() => network.set(false), flips[0]));
    timers.push(setTimeout(() => network.set(true), flips[0] + flips[1]));
  }
  let text = '';
  let source = '';
  try {
    const request = { model: 'auto', messages: [...messages] };
    const options = { signal: stop.signal, private: isPrivate, tags: messages.length % 4 ? ['odd'] : [] };
    if (stream) {
      for await (const { choices, route } of await router.chat.completions.create(
        { ...request, stream: true },
        options,
      )) {
        text += choices[0]?.delta.content ?? '';
        source = route?.source ?? source;
      }
    } else {
      const answer = await router.chat.completions.create(request, options);
      text = answer.choices[0].message.content ?? '';
      source = answer.route.source ?? '';
    }
    return { told: source, text };
  } catch (error) {
    const { name, code, message, stack } = error as Error & { code?: string };
    if (`${message} ${stack}`.includes(KEY)) return { told: 'an error with the key', text };
    return { told: name === 'AbortError' ? (stop.signal.aborted ? 'stopped' : 'AbortError') : (code ?? name), text };
  } finally {
    for (const timer of timers) clearTimeout(timer);
    network.set(true);
  }
}

/** The servers' records against the ledger, and against what is private. */
async function checkRecords(
  servers: readonly CloudServer[],
  router: ReturnType<typeof createRouter>,
  wrong: string[],
): Promise<void> {
  const bytes = servers.flatMap(({ requests }) => requests.map(({ text }) => text)).join('\n');
  for (const item of PRIVATE) if (bytes.toLowerCase().includes(item.toLowerCase())) wrong.push(`${item} left`);
  const check = await router.ledger.verify();
  if (!check.valid) wrong.push(`the ledger: ${check.problem}`);
  const rows = await router.ledger.rows();
  if (rows.filter(({ event }) => event === 'done').length !== 3) wrong.push('the ledger has not every turn');
  if (JSON.stringify(rows).includes(KEY)) wrong.push('the ledger has the key');
  if (PRIVATE.some((item) => JSON.stringify(rows).includes(item))) wrong.push('the ledger has a private text');
  for (const { origin, requests } of servers) {
    const host = new URL(origin).host;
    const received = requests.map(({ text }) =>
      Buffer.byteLength(text.slice(text.indexOf('\n', text.indexOf('\n') + 1) + 1)),
    );
    const sent = rows.filter((row) => row.event === 'sent' && row.host === host).map(({ bytes: n }) => n!);
    const left = [...sent];
    for (const n of received)
      if (!left.splice(left.indexOf(n), left.includes(n) ? 1 : 0).length) wrong.push(`${n} bytes without a row`);
  }
}

/** Failures in a row, then right answers: how long the breaker was open. @returns what is wrong */
export async function drillBreaker(seed: number): Promise<string[]> {
  const random = seeded(seed);
  const failures = 2 + Math.floor(random() * 3);
  const bad = failures + Math.floor(random() * 3);
  const acts = [...Array.from({ length: bad }, () => ({ status: 500 })), { say: ['ok'] }];
  const server = await createCloud(...acts);
  const openMs = 60;
  const router = createRouter({
    cloud: { baseURL: server.baseURL, model: 'm' },
    policy: 'ONLY_IN_CLOUD',
    retries: { most: 0 },
    breaker: { failures, openMs, maxOpenMs: 150 },
  });
  const wrong: string[] = [];
  const start = performance.now();
  let answered = 0;
  while (!answered && performance.now() - start < 30_000) {
    // the breaker lets a request through as soon as its time is over, and none before, however slow this machine is
    const open = router.endpoints()[0].waitMs > 0;
    const before = server.requests.length;
    await router.chat.completions.create({ model: 'auto', messages: [{ role: 'user', content: 'Hi' }] }).then(
      () => (answered = performance.now()),
      () => new Promise((go) => setTimeout(go, 5)),
    );
    const asked = server.requests.length - before;
    if (!open && asked !== 1) wrong.push(`seed ${seed}: the breaker is over, and ${asked} requests came`);
  }
  const times = server.requests.map(({ time }) => time);
  for (let i = failures; i <= bad; i++) {
    const wanted = Math.min(150, openMs * 2 ** (i - failures));
    const gap = times[i] - times[i - 1];
    // the server's clock begins when the request has come
    if (!(gap >= wanted - 5)) wrong.push(`seed ${seed}: asked ${gap} ms after failure ${i}, ${wanted} wanted`);
  }
  if (!answered) wrong.push(`seed ${seed}: not recovered`);
  if (router.endpoints()[0].breaker !== 'closed') wrong.push(`seed ${seed}: the breaker is not closed`);
  router.close();
  await server.close();
  return wrong;
}
