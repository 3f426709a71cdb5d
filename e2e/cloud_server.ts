/** A server that speaks OpenAI's API on this machine and misbehaves as it is told. It records every byte it gets. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What the server does with one request. */
export interface Act {
  /** pieces of the answer, one event each; a function gets the request */
  say?: readonly string[] | ((body: CloudBody) => readonly string[]);
  calls?: readonly { name: string; arguments: string }[];
  /** before the headers, before the first piece, between pieces */
  delays?: { headers?: number; first?: number; pieces?: number };
  /** ends the connection after so many pieces */
  cutAfter?: number;
  /** is silent after so many pieces, for ever */
  stallAfter?: number;
  /** writes these bytes after so many pieces in place of the rest */
  wrongAfter?: number;
  wrong?: string;
  /** instead of an answer */
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** never sends headers, or ends the connection at once */
  silent?: boolean;
  reset?: boolean;
  /** megabytes of one event without an end */
  hugeMb?: number;
  /** a model's name other than the asked one */
  model?: string;
  /** answers as a whole, not as a stream */
  json?: boolean;
  /** gives no end */
  endless?: boolean;
  usage?: { prompt_tokens: number; completion_tokens: number };
}

export interface CloudBody {
  model: string;
  messages: { role: string; content: string }[];
  continue_final_message?: boolean;
}

export interface CloudRequest {
  headers: Record<string, unknown>;
  /** all bytes of it, with the line and the headers */
  text: string;
  body: CloudBody;
  /** the text that the server has written of its answer */
  said: string;
  /** the client ended the connection before the server did */
  cancelled: boolean;
  time: number;
}

export interface CloudServer {
  origin: string;
  baseURL: string;
  requests: CloudRequest[];
  /** what comes next, one act a request; the last one stays */
  acts: Act[];
  close(): Promise<void>;
}

/** Pages of other origins may ask. */
const FOR_PAGES = {
  'access-control-allow-origin': '*',
  'access-control-allow-headers': 'authorization, content-type',
  'access-control-expose-headers': 'retry-after',
};

const wait = (ms: number | undefined): Promise<void> => new Promise((go) => (ms ? setTimeout(go, ms) : go()));

export async function createCloud(...acts: Act[]): Promise<CloudServer> {
  const sockets = new Set<Socket>();
  const cloud: CloudServer = { origin: '', baseURL: '', requests: [], acts, close };
  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((go) => server.listen(0, '127.0.0.1', go));
  cloud.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  cloud.baseURL = `${cloud.origin}/v1`;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(FOR_PAGES)) response.setHeader(name, value);
    if (request.method === 'OPTIONS') return void response.writeHead(204).end();
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const text = Buffer.concat(pieces).toString('utf8');
    const act = acts.length > 1 ? acts.shift()! : (acts[0] ?? {});
    const told: CloudRequest = {
      headers: request.headers,
      text: `${request.method} ${request.url}\n${JSON.stringify(request.headers)}\n${text}`,
      body: (text ? JSON.parse(text) : {}) as CloudBody,
      said: '',
      cancelled: false,
      time: performance.now(),
    };
    cloud.requests.push(told);
    response.on('close', () => (told.cancelled = !response.writableFinished));
    if (act.reset) return void request.socket.destroy();
    if (act.silent) return;
    await wait(act.delays?.headers);
    if (act.status !== undefined) {
      response.writeHead(act.status, { 'content-type': 'application/json', ...act.headers });
      return void response.end(act.body ?? '{}');
    }
    await (act.json ? whole(response, act, told) : stream(response, act, told));
  }

  async function close(): Promise<void> {
    for (const socket of sockets) socket.destroy();
    await new Promise((go) => server.close(go));
  }
  return cloud;
}

const piecesOf = ({ say = [] }: Act, { body }: CloudRequest): readonly string[] =>
  typeof say === 'function' ? say(body) : say;

async function whole(response: ServerResponse, act: Act, told: CloudRequest): Promise<void> {
  const content = piecesOf(act, told).join('');
  const message = { role: 'assistant', content };
  response.writeHead(200, { 'content-type': 'application/json', ...act.headers });
  told.said = content;
  const model = act.model ?? told.body.model;
  response.end(act.body ?? JSON.stringify({ model, choices: [{ index: 0, message, finish_reason: 'stop' }] }));
}

async function stream(response: ServerResponse, act: Act, told: CloudRequest): Promise<void> {
  const model = act.model ?? told.body.model;
  const send = (delta: object, finish: string | null = null): void => {
    const choices = [{ index: 0, delta, finish_reason: finish }];
    response.write(
      `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model, choices })}\n\n`,
    );
  };
  response.writeHead(200, { 'content-type': 'text/event-stream', ...act.headers });
  response.flushHeaders();
  await wait(act.delays?.first);
  if (act.hugeMb) {
    response.write('data: {"choices":[{"delta":{"content":"');
    for (let i = 0; i < act.hugeMb && !response.destroyed; i++) {
      response.write('x'.repeat(1 << 20));
      await wait(1);
    }
    return void response.end('"}}]}\n\n');
  }
  for (const [i, piece] of piecesOf(act, told).entries()) {
    if (i === act.cutAfter) return void setTimeout(() => response.destroy(), 5);
    if (i === act.stallAfter) return;
    if (i === act.wrongAfter) return void response.end(act.wrong ?? 'data: {"choices": [{"delta"\n\n');
    send({ content: piece });
    told.said += piece;
    await wait(act.delays?.pieces);
    if (response.destroyed) return;
  }
  for (const [index, { name, arguments: text }] of (act.calls ?? []).entries()) {
    const half = Math.ceil(text.length / 2);
    send({ tool_calls: [{ index, id: `call_${index}`, type: 'function', function: { name, arguments: '' } }] });
    for (const part of [text.slice(0, half), text.slice(half)])
      send({ tool_calls: [{ index, function: { arguments: part } }] });
  }
  if (act.endless) return void response.end();
  send({}, act.calls?.length ? 'tool_calls' : 'stop');
  if (act.usage) response.write(`data: ${JSON.stringify({ model, choices: [], usage: act.usage })}\n\n`);
  response.end('data: [DONE]\n\n');
}
