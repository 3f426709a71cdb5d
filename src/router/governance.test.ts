import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { createCloud, type Act, type CloudServer } from '../../e2e/cloud_server';
import { collect, createScriptedModel } from '../../e2e/scripted_model';
import { seeded } from '../../e2e/hub';
import {
  calibrate,
  createLedger,
  createMemoryStorage,
  createRouter,
  evaluateThreshold,
  type RouterOptions,
} from './index';
import { confidenceOf } from './local_path';

const clouds: CloudServer[] = [];
afterEach(async () => void (await Promise.all(clouds.splice(0).map((cloud) => cloud.close()))));
const cloudOf = async (...acts: Act[]): Promise<CloudServer> => {
  const cloud = await createCloud(...acts);
  clouds.push(cloud);
  return cloud;
};
const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
const request = (content: string) => ({ model: 'auto', messages: [{ role: 'user' as const, content }] });
const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'answered',
    ({ code }: { code: string }) => code,
  );

describe('a governance file', () => {
  const answered = async (files: object[], more: RouterOptions = {}): Promise<unknown> => {
    const cloud = await cloudOf({ say: ['Yes'] });
    const governance = files.map((file) => ({
      text: JSON.stringify({ version: 1, ...file }).replace('HOST', sha(new URL(cloud.origin).host)),
    }));
    const router = createRouter({
      cloud: { baseURL: cloud.baseURL, model: 'm' },
      policy: 'ONLY_IN_CLOUD',
      governance,
      ...more,
    });
    const code = await codeOf(router.chat.completions.create(request('Hi')));
    expect(cloud.requests).toHaveLength(code === 'answered' ? 1 : 0);
    return code;
  };

  it('allows hosts and models by their hashes, and turns the cloud off', async () => {
    expect(await answered([{}])).toBe('answered');
    expect(await answered([{ hosts: ['HOST'], models: [sha('m')] }])).toBe('answered');
    expect(await answered([{ hosts: [sha('other')] }])).toBe('not_allowed');
    expect(await answered([{ models: [sha('other')] }])).toBe('not_allowed');
    expect(await answered([{ cloud: 'off' }])).toBe('not_allowed');
    expect(await answered([{ requireRedaction: true }])).toBe('answered');
    expect(await answered([{ requireRedaction: true }], { redact: false })).toBe('not_allowed');
  });

  it('cannot be widened: by a second file, by a policy, or by a change of it', async () => {
    expect(await answered([{ cloud: 'off' }, { cloud: 'on', hosts: ['HOST'] }])).toBe('not_allowed');
    expect(await answered([{ hosts: [sha('a')] }, { hosts: ['HOST'] }])).toBe('not_allowed');
    expect(await answered([{ cloud: 'off' }], { policy: () => 'cloud' })).toBe('not_allowed');
    const router = createRouter({
      local: createScriptedModel('a'),
      governance: [{ text: '{"version":1,"cloud":"off","hosts":[]}' }],
    });
    const { file } = router.governance;
    expect(() => ((file as { cloud: string }).cloud = 'on')).toThrow(TypeError);
    expect(() => (file.hosts as string[]).push('x')).toThrow(TypeError);
    expect(() => ((router.governance as { allowsHost: unknown }).allowsHost = () => true)).toThrow(TypeError);
  });

  it('with a mistake, or another hash, allows nothing', () => {
    const local = createScriptedModel('a');
    for (const text of [
      '',
      'x',
      '[]',
      '{}',
      '{"version":1,"clouds":"off"}',
      '{"version":1,"cloud":false}',
      '{"version":1,"hosts":["api.test"]}',
      '{"version":1,"retentionDays":-1}',
    ])
      expect(() => createRouter({ local, governance: [{ text }] }), text).toThrow(/The governance file is not valid/);
    const text = '{"version":1}';
    createRouter({ local, governance: [{ text, sha256: sha(text) }] });
    expect(() => createRouter({ local, governance: [{ text: `${text} `, sha256: sha(text) }] })).toThrow(
      /another SHA-256/,
    );
  });

  it('is noted in the ledger, deletes old rows, and lets nothing leave without a row', async () => {
    let wall = 1e12;
    const storage = createMemoryStorage();
    const ledger = createLedger({ storage, wall: () => wall });
    await ledger.append({ event: 'done' });
    wall += 10 * 86_400_000;
    const text = '{"version":1,"retentionDays":5}';
    createRouter({ local: createScriptedModel('a'), ledger, governance: [{ text }] });
    await expect.poll(async () => (await ledger.rows()).map(({ event }) => event)).toEqual(['governance', 'purge']);
    expect((await ledger.rows())[0].note).toBe(sha(text));
    const broken = createLedger({ storage: { ...storage, append: () => Promise.reject(new Error('full')) } });
    expect(await answered([{ requireLedger: true }], { ledger: broken, retries: { most: 0 } })).toBe('ledger_failed');
    expect(await answered([{}], { ledger: broken })).toBe('answered');
  });
});

describe('private text on a route', () => {
  const mail = 'bob@example.org';

  it('leaves as a placeholder and comes back in the stream, in calls and in JSON', async () => {
    const cloud = await cloudOf(
      { say: ['Write to [EM', 'AIL', '_1] now'] },
      { calls: [{ name: 'send', arguments: '{"to":"[EMAIL_1]","key":"[SECRET_1]"}' }] },
      { say: ['{"password":"[SEC', 'RET_1]"}'] },
    );
    const router = createRouter({ cloud: { baseURL: cloud.baseURL, model: 'm' } });
    const asked = request(`My address is ${mail}, my password is a"b\\c1`);
    const chunks = await collect(router.chat.completions.create({ ...asked, stream: true }));
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(`Write to ${mail} now`);
    expect(chunks.at(-1)!.route).toMatchObject({
      redacted: { email: 1 },
      bytesSent: { [new URL(cloud.origin).host]: expect.any(Number) },
    });
    const secret = request('password: aXb\\c1');
    await router.chat.completions
      .create(asked)
      .then(({ choices }) =>
        expect(JSON.parse(choices[0].message.tool_calls![0].function.arguments)).toMatchObject({ to: mail }),
      );
    const json = await router.chat.completions.create({ ...secret, response_format: { type: 'json_object' } });
    expect(JSON.parse(json.choices[0].message.content!)).toHaveProperty('password');
    expect(cloud.requests.map(({ text }) => text).join()).not.toContain(mail);
    const rows = await router.ledger.rows();
    expect(rows.filter(({ event }) => event === 'sent').map(({ redacted }) => redacted?.email)).toEqual([
      1,
      1,
      undefined,
    ]);
    expect(JSON.stringify(rows)).not.toContain('bob');
  });

  it('stays where it is refused, and begins on the device by the usual policy', async () => {
    const cloud = await cloudOf({ say: ['Yes'] });
    const endpoint = { baseURL: cloud.baseURL, model: 'm' };
    const refusing = createRouter({ cloud: endpoint, redact: { mode: 'refuse' } });
    expect(await codeOf(refusing.chat.completions.create(request(`To ${mail}`)))).toBe('private_text');
    const local = createScriptedModel('Here');
    const both = createRouter({ local, cloud: endpoint, redact: { mode: 'refuse' }, policy: 'PREFER_IN_CLOUD' });
    expect((await both.chat.completions.create(request(`To ${mail}`))).route).toMatchObject({
      source: 'local',
      reason: 'private_text',
    });
    const failing = { mode: 'replace' as const, judge: () => Promise.reject(new Error('no judge')) };
    const judged = createRouter({ local, cloud: endpoint, redact: failing, policy: 'PREFER_IN_CLOUD' });
    expect((await judged.chat.completions.create(request('Hi'))).route).toMatchObject({
      source: 'local',
      reason: 'marked_private',
    });
    expect(cloud.requests).toHaveLength(0);
    const usual = createRouter({ local, cloud: endpoint });
    expect((await usual.chat.completions.create(request(`To ${mail}`), { tags: ['hard'] })).route.rule).toBe(
      'private_text',
    );
  });
});

describe('a calibration', () => {
  /** right with the probability of its score */
  const made = (seed: number, n: number) => {
    const random = seeded(seed);
    return Array.from({ length: n }, () => {
      const score = random();
      return { score, right: random() < score };
    });
  };

  it('finds the threshold at the ratio of the costs, on other requests too', () => {
    const costs = { error: 10, cloud: 3 };
    const { threshold, probability, calibrationError, cost, coverage } = calibrate(made(1, 4000), costs);
    expect(threshold).toBeGreaterThan(0.6); // an error costs 10·(1 − p): the cloud is cheaper below p = 0.7
    expect(threshold).toBeLessThan(0.8);
    expect(coverage).toBeCloseTo(1 - threshold, 1);
    expect(calibrationError).toBeLessThan(0.03);
    for (const p of [0.2, 0.5, 0.8]) expect(probability(p)).toBeCloseTo(p, 1);
    const other = made(2, 4000);
    const checked = evaluateThreshold(other, threshold, costs);
    expect(checked.cost).toBeLessThan(
      Math.min(evaluateThreshold(other, 0, costs).cost, evaluateThreshold(other, 2, costs).cost),
    );
    expect(Math.abs(checked.cost - cost)).toBeLessThan(0.15);
  });

  it('is refused for too few requests, and knows the ends', () => {
    expect(() => calibrate(made(1, 5), { error: 1, cloud: 1 })).toThrow(/do not suffice/);
    expect(() => calibrate(made(1, 50), { error: NaN, cloud: 1 })).toThrow(/costs/);
    expect(calibrate(made(1, 50), { error: 0, cloud: 1 }).coverage).toBe(1);
    expect(calibrate(made(1, 50), { error: 1e9, cloud: 0 }).coverage).toBeLessThan(0.2);
    const even = { top_logprobs: [Math.log(0.5), Math.log(0.5)].map((logprob) => ({ logprob })) };
    const sure = { top_logprobs: [{ logprob: 0 }] };
    expect(confidenceOf([even])).toEqual({ margin: 0, entropy: expect.closeTo(Math.LN2) });
    expect(confidenceOf([even, sure]).margin).toBe(0.5);
  });
});
