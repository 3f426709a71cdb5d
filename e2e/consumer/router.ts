/** A strict project that routes between the device and the cloud. */
import { load } from 'rivulet';
import {
  calibrate,
  createLedger,
  createRouter,
  PRESETS,
  RouteError,
  type Policy,
  type RouteReport,
  type Router,
} from 'rivulet/router';

const policy: Policy = {
  name: 'mine',
  rules: [{ id: 'long', when: { promptTokens: { over: 2000 }, not: { tags: { has: 'draft' } } }, route: 'cloud' }],
  otherwise: PRESETS.PREFER_ON_DEVICE.otherwise,
  during: { firstTokenMs: 2000 },
};

export async function route(): Promise<string> {
  const router: Router = createRouter({
    local: { small: await load('./model.gguf') },
    cloud: [
      { baseURL: 'https://api.example.com/v1', model: 'large', key: () => 'none', price: { input: 1, output: 2 } },
    ],
    policy,
    ledger: createLedger(),
    redact: { terms: ['Project Falcon'] },
  });
  const messages = [{ role: 'user', content: 'Hello' }] as const;
  try {
    const stream = await router.chat.completions.create({ model: 'auto', messages, stream: true }, { tags: ['draft'] });
    for await (const { choices } of stream) document.body.append(choices[0]?.delta.content ?? '');
    const answer = await router.chat.completions.create({ model: 'auto', messages });
    const told: RouteReport = answer.route;
    const { threshold } = calibrate([{ score: 1, right: true }], { error: 10, cloud: 1 });
    return `${told.source ?? ''} ${told.explanation} ${threshold} ${(await router.ledger.verify()).rows}`;
  } catch (error) {
    return error instanceof RouteError ? error.code : '';
  }
}

// @ts-expect-error no such outcome
createRouter({ policy: () => 'nowhere' });
