import { describe, expect, it } from 'vitest';
import { seeded } from '../../../e2e/hub';
import { makePrivateText, TERMS } from '../../../e2e/private_texts';
import { createScriptedModel } from '../../../e2e/scripted_model';
import type { ChatCompletionRequest } from '../../openai/types';
import { isCard, passesLuhn, passesMod97 } from './check_digits';
import { findPrivate, KINDS, termDetector } from './detectors';
import { createModelJudge } from './model_judge';
import { createRedactor, type RedactionOptions } from './redactor';

const TEXTS = 3000;
const CHECKED = ['card', 'iban'];
const requestOf = (content: string, more: object = {}): ChatCompletionRequest => ({
  model: 'auto',
  messages: [{ role: 'user', content }],
  ...more,
});
const detectors = [termDetector(TERMS)!];
const redactorOf = (options: RedactionOptions = {}) => createRedactor({ terms: TERMS, ...options });

it(`finds private items of eight kinds in ${TEXTS} texts, and few others`, () => {
  const planted = new Map<string, number>();
  const found = new Map<string, number>();
  const told = new Map<string, number>();
  const right = new Map<string, number>();
  const add = (map: Map<string, number>, kind: string): void => void map.set(kind, (map.get(kind) ?? 0) + 1);
  const missed: string[] = [];
  for (let seed = 1; seed <= TEXTS; seed++) {
    const { text, items } = makePrivateText(seed);
    const spans = findPrivate(text, KINDS, detectors);
    let at = 0;
    const places = items.map(({ kind, value }) => {
      const start = text.indexOf(value, at);
      at = start + value.length;
      return { kind, start, end: at };
    });
    for (const place of places) {
      add(planted, place.kind);
      // nothing of it is left over
      if (spans.some(({ start, end }) => start <= place.start && end >= place.end)) add(found, place.kind);
      else missed.push(`${place.kind}: ${text.slice(place.start - 10, place.end + 5)}`);
    }
    for (const span of spans) {
      add(told, span.kind);
      if (places.some(({ kind, start, end }) => kind === span.kind && start < span.end && span.start < end))
        add(right, span.kind);
      else if (CHECKED.includes(span.kind)) missed.push(`no ${span.kind}: ${text.slice(span.start, span.end)}`);
    }
  }
  const table = KINDS.map((kind) => {
    const [n, hits, all, good] = [planted, found, told, right].map((map) => map.get(kind) ?? 0);
    return { kind, planted: n, recall: hits / n, precision: good / all };
  });
  for (const { kind, planted: n, recall, precision } of table) {
    expect(n, kind).toBeGreaterThan(200);
    expect(recall, `${kind}\n${missed.slice(0, 20).join('\n')}`).toBeGreaterThanOrEqual(0.99);
    if (CHECKED.includes(kind)) expect(precision, missed.join('\n')).toBeGreaterThanOrEqual(0.95);
  }
});

it('puts everything back exactly, cut anywhere, and sends nothing of it', () => {
  const redactor = redactorOf();
  for (let seed = 1; seed <= 500; seed++) {
    const { text, items } = makePrivateText(seed);
    const random = seeded(seed);
    const { request } = redactor.redact(requestOf(text));
    const sent = request.messages[0].content as string;
    for (const { kind, value } of items) expect(sent, kind).not.toContain(value);
    const back = redactor.restorer(false);
    let got = '';
    for (let at = 0; at < sent.length;) {
      const n = 1 + Math.floor(random() * 6);
      got += back.push(sent.slice(at, at + n));
      at += n;
    }
    expect(got + back.flush()).toBe(text);
    // in a JSON text, as arguments of a call are
    const json = redactor.restorer(true);
    expect(JSON.parse(json.push(JSON.stringify({ text: sent })) + json.flush())).toEqual({ text });
  }
});

describe('a request', () => {
  it('is changed in all its texts, with one placeholder for one text', () => {
    const redactor = redactorOf();
    const mail = 'bob@example.org';
    const request = {
      model: 'auto',
      messages: [
        { role: 'system', content: `Speak for ${mail}` },
        { role: 'user', content: [{ type: 'text', text: `I am ${mail}, write to ada@example.org` }], name: mail },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: '1',
              type: 'function',
              function: { name: 'send', arguments: `{"to":"bob\\u0040example.org","n": 4539578763621486}` },
            },
          ],
        },
        { role: 'tool', tool_call_id: '1', content: `{"${mail}": true}` },
      ],
      tools: [
        { type: 'function', function: { name: 'send', description: `Mail of ${mail}`, parameters: { enum: [mail] } } },
      ],
      stop: [mail],
    } as const;
    const { request: clean, counts } = redactor.redact(request as never);
    const text = JSON.stringify(clean);
    expect(text).not.toMatch(/bob|ada@|453957/);
    expect(text.match(/\[EMAIL_1\]/g)).toHaveLength(8);
    expect(counts).toEqual({ email: 9, card: 1 });
    expect(redactor.redact(requestOf(`again ${mail}`)).request.messages[0].content).toBe('again [EMAIL_1]');
  });

  it('with what looks like a placeholder gets it back as it was', () => {
    const redactor = redactorOf();
    const text = 'Is [EMAIL_1] the same as bob@example.org? [NEXT] [';
    const sent = redactor.redact(requestOf(text)).request.messages[0].content as string;
    const back = redactor.restorer(false);
    expect(sent).not.toContain('bob@');
    expect(back.push(sent) + back.flush()).toBe(text);
  });

  it('holds back no more than what can become a placeholder', () => {
    const redactor = redactorOf();
    redactor.redact(requestOf('bob@example.org'));
    const back = redactor.restorer(false);
    expect(['a [', 'b] [EM', 'AIL_', '1', ']!', ' [EMAIL_2] x'].map((piece) => back.push(piece))).toEqual([
      'a ',
      '[b] ',
      '',
      '',
      'bob@example.org!',
      ' [EMAIL_2] x',
    ]);
    expect(redactor.partialTail('write to bob@exa')).toBe(7);
    expect(redactor.partialTail('write to bo')).toBe(0);
  });

  it('is refused where the options say so, with the kinds and not the text', () => {
    const redactor = redactorOf({ mode: 'refuse' });
    expect(() => redactor.redact(requestOf('to bob@example.org'))).toThrow(/holds private text.*email/);
    expect(() => redactor.redact(requestOf('to bob@example.org'))).not.toThrow(/bob/);
    expect(redactor.redact(requestOf('nothing')).counts).toEqual({});
    expect(() => createRedactor({ kinds: ['name' as never] })).toThrow(/The redaction is not valid/);
  });

  it('is judged by what the page gives, too', async () => {
    const redactor = redactorOf({
      judge: async (text) => (text.includes('Rosebud') ? ['Rosebud'] : []),
      detectors: [
        {
          kind: 'plate',
          find: (text) =>
            [...text.matchAll(/B-[A-Z]{2} \d+/g)].map(({ 0: { length }, index }) => ({
              start: index,
              end: index + length,
            })),
        },
      ],
    });
    const request = requestOf('Rosebud drives B-XY 123');
    await redactor.learn(request);
    expect(redactor.redact(request).request.messages[0].content).toBe('[TERM_1] drives [PLATE_1]');
  });

  it('is judged by a model of the device', async () => {
    const scripted = createScriptedModel('["Rosebud Kane", "nobody"]', '[]', '[]', '["Ros');
    scripted.constrained = true;
    const judge = createModelJudge(scripted);
    expect(await judge('Rosebud Kane was here')).toEqual(['Rosebud Kane']);
    expect(await judge('x'.repeat(5000))).toEqual([]);
    expect(scripted.calls).toHaveLength(3);
    expect(scripted.calls[0].options.responseFormat).toMatchObject({ type: 'json_schema' });
    await expect(judge('Rosebud')).rejects.toMatchObject({ name: 'RequestError' });
  });

  it('is read in a time that grows with its length', () => {
    const hostile = [
      '@'.repeat(50_000),
      '1 '.repeat(50_000),
      'a.'.repeat(50_000),
      '((((('.repeat(10_000),
      '[A_1'.repeat(20_000),
      ':a'.repeat(30_000),
      'DE12 '.repeat(20_000),
      'password: '.repeat(10_000),
      '+'.repeat(50_000),
      '-----BEGIN A PRIVATE KEY-----'.repeat(3000),
    ];
    for (const text of hostile) {
      const start = performance.now();
      findPrivate(text, KINDS, detectors);
      expect(performance.now() - start, text.slice(0, 10)).toBeLessThan(5000);
    }
  });
});

it('knows check digits', () => {
  expect(['4111111111111111', '378282246310005', '6011111111111117'].every(isCard)).toBe(true);
  expect(['4111111111111112', '0000000000000000', '1234567812345670'].some(isCard)).toBe(false);
  expect([passesLuhn('79927398713'), passesLuhn('79927398710')]).toEqual([true, false]);
  expect([passesMod97('GB82WEST12345698765432'), passesMod97('GB82WEST12345698765433')]).toEqual([true, false]);
});
