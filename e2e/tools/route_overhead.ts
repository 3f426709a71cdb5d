/**
 * npm run bench:route -- [--runs 300]
 *
 * What the router adds before a model of the device is asked, for conversations of 4,000 tokens: milliseconds from the
 * call to `chat` of the model, less the same for the interface without a router. With detectors, once for conversations
 * that are new in all their messages, and once for one that grows. The time to the first token is compared with a model
 * that reads 4,000 tokens in a second. Times of this process's own work: on a busy machine take the p50.
 */
import { createOpenAI } from '../../src/openai/index';
import { percentile } from '../../src/router/ledger/figures';
import { createRouter } from '../../src/router/index';
import type { OpenAIModel } from '../../src/openai/index';
import { makePrivateText } from '../private_texts';
import { createScriptedModel } from '../scripted_model';
import { startTool, whole } from './options';

const { runs } = startTool('npm run bench:route --', 'Measures what the router adds.', {
  runs: whole('how often', 300, 20),
});
const CHARACTERS = 16_000;

let asked = 0;
let waits = 0;
const scripted = createScriptedModel('a');
const model: OpenAIModel = {
  ...scripted,
  chat(messages, options) {
    asked = performance.now();
    if (waits) while (performance.now() < asked + waits);
    return scripted.chat(messages, options);
  },
};

let next = 1;
function conversation(): { role: 'user' | 'assistant'; content: string }[] {
  const messages: ReturnType<typeof conversation> = [];
  for (let length = 0; length < CHARACTERS;) {
    let content = '';
    while (content.length < 800) content += `${makePrivateText(next++).text}\n`;
    length += content.length;
    messages.push({ role: messages.length % 2 ? 'assistant' : 'user', content });
  }
  if (messages.length % 2 === 0) messages.pop();
  return messages;
}

type Ask = (messages: ReturnType<typeof conversation>) => Promise<unknown>;
const routed = (redact: boolean): Ask => {
  const router = createRouter({
    local: model,
    cloud: { baseURL: 'https://api.test/v1', model: 'm' },
    redact: redact && {},
  });
  return (messages) => router.chat.completions.create({ model: 'auto', messages });
};
const openai = createOpenAI({ auto: model });
const direct: Ask = (messages) => openai.chat.completions.create({ model: 'auto', messages });
const [plain, detecting] = [routed(false), routed(true)];

async function time(ask: Ask, messages: ReturnType<typeof conversation>): Promise<number> {
  const start = performance.now();
  await ask(messages);
  return asked - start;
}

const added: Record<string, number[]> = {
  'no router, all': [],
  'without detectors': [],
  'with, all new': [],
  'with, one new message': [],
};
for (let run = 0; run < runs + 20; run++) {
  const messages = conversation();
  const base = await time(direct, messages);
  const one = (await time(plain, messages)) - base;
  const all = (await time(detecting, messages)) - base;
  const grown =
    (await time(detecting, [
      ...messages,
      { role: 'assistant', content: 'Yes.' },
      { role: 'user', content: `And ${run}?` },
    ])) - base;
  if (run < 20) continue; // compiles
  added['no router, all'].push(base);
  added['without detectors'].push(one);
  added['with, all new'].push(all);
  added['with, one new message'].push(grown);
}
for (const [name, values] of Object.entries(added)) {
  const [p50, p95] = [0.5, 0.95].map((q) => percentile(values, q).toFixed(3));
  console.log(`${name.padEnd(24)} p50 ${p50} ms, p95 ${p95} ms`);
}

waits = 1000; // 4,000 tokens a second, quicker than any device that was measured

const firsts: Record<string, number[]> = { direct: [], routed: [] };
for (let run = 0; run < 12; run++) {
  const messages = conversation();
  for (const [name, ask] of [
    ['direct', direct],
    ['routed', detecting],
  ] as const)
    firsts[name].push((await time(ask, messages)) + waits);
}
console.log(
  `first token, direct over routed: ${(percentile(firsts.direct, 0.5) / percentile(firsts.routed, 0.5)).toFixed(4)}`,
);
