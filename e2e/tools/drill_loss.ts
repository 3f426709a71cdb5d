/**
 * npm run drill:loss -- --seed S --runs N [--json]
 *
 * Each run: the embedded miniature on Chromium's software adapter says something, greedily or sampled; then the same
 * with the GPU device destroyed at a random call: while it loads, reads the prompt, waits for the first token, is in
 * the middle of the text, or between two turns.
 * The text must be the same. At the end one run whose device is lost twice, which WASM must finish. Exit status 1 if
 * anything was wrong.
 */
import { seeded } from '../hub';
import { openLossPage, SOFTWARE, SOURCE, type Said, type Turn } from '../loss';
import { flag, startTool, whole } from './options';

const values = startTool(
  'npm run drill:loss --',
  'Destroys the GPU device at random moments, and compares the text with an undisturbed run.',
  {
    seed: whole('of all runs', 1),
    runs: whole('how many runs', 5, 1),
    json: flag('prints one JSON line per run'),
  },
);
const { runs } = values;
const random = seeded(values.seed);
/** a whole number from `from` to `to` */
const pick = (from: number, to: number): number => from + Math.floor(random() * (Math.max(from, to) - from + 1));

const PHASES = ['prefill', 'first token', 'mid-stream', 'load', 'between turns'] as const;
const QUESTIONS = ['Hello!', 'Who are you?', 'What can you do?', 'Tell me about the page that you run in.'];
/** more than one chunk of 256 tokens */
const LONG = 'It is a fine day, and the river runs slowly past the mill. '.repeat(30);

/** readings of results after which an answer of eight tokens is not yet through, however long its windows are */
const MIDDLE = 3;

interface Row {
  run: number | 'twice';
  phase: string;
  sampling: string;
  /** the call at which the device was lost */
  at: number[];
  tokens: number;
  backend: string;
  wrong: string[];
  seconds: number;
}

const rows: Row[] = [];
function report(row: Omit<Row, 'seconds'>, start: number): void {
  const whole = { ...row, seconds: Math.round((Date.now() - start) / 100) / 10 };
  rows.push(whole);
  if (values.json) console.log(JSON.stringify(whole));
  else
    console.log(
      `${String(row.run).padStart(5)}  ${row.phase.padEnd(14)} ${row.sampling.padEnd(8)} at ${row.at.join(', ').padEnd(8)} ${row.tokens} tokens on ${row.backend}: ${row.wrong.join('; ') || 'the same text'}`,
    );
}

function wrongWith(said: Said, wanted: Said, backend: string): string[] {
  const wrong: string[] = [];
  if (said.text !== wanted.text) wrong.push(`text ${JSON.stringify(said.text)}, wanted ${JSON.stringify(wanted.text)}`);
  if (said.streamed !== said.text)
    wrong.push(`streamed ${JSON.stringify(said.streamed)}, but the result is ${JSON.stringify(said.text)}`);
  if (said.finish !== wanted.finish || said.tokens !== wanted.tokens)
    wrong.push(`${said.finish} after ${said.tokens} tokens, wanted ${wanted.finish} after ${wanted.tokens}`);
  if (said.backend !== backend) wrong.push(`on ${said.backend}, wanted ${backend}`);
  return wrong;
}

const page = await openLossPage();
/**
 * Loaded for the second time: the first load also tests the kernels, whose verdict is then kept, and makes more calls.
 */
async function openAgain(options: object): ReturnType<typeof page.call<'open'>> {
  await page.call('unload', (await page.call('open', SOURCE, options)).id);
  return page.call('open', SOURCE, options);
}
try {
  let model = await openAgain(SOFTWARE);
  const loadActs = model.acts.acts;
  const first = pick(0, PHASES.length - 1);
  for (let run = 1; run <= runs; run++) {
    const start = Date.now();
    const phase = PHASES[(first + run) % PHASES.length];
    const greedy = random() < 0.5;
    const seed = pick(0, 2 ** 31);
    const settings = greedy
      ? { temperature: 0 }
      : {
          temperature: 1.2,
          topK: 50,
          topP: 0.95,
          minP: 0,
          repetitionPenalty: 1.05,
          frequencyPenalty: 0.1,
          presencePenalty: 0.1,
        };
    const question = QUESTIONS[pick(0, QUESTIONS.length - 1)];
    let turn: Turn = {
      messages: [{ role: 'user', content: phase === 'prefill' ? LONG + question : question }],
      sampling: { ...settings, seed, maxTokens: pick(8, 24), stop: 'ZZ' },
    };
    let wanted = await page.call('say', model.id, turn);
    let at: number;
    let said: Said;
    let lost: string[] = [];
    if (phase === 'load') {
      await page.call('unload', model.id);
      at = pick(1, loadActs);
      model = await page.call('open', SOURCE, { ...SOFTWARE, cache: random() < 0.5 }, [at]);
      lost = model.phases;
      said = await page.call('say', model.id, turn);
    } else if (phase === 'between turns') {
      const before = turn;
      turn = {
        ...turn,
        messages: [
          ...turn.messages,
          { role: 'assistant', content: wanted.text },
          { role: 'user', content: 'And what else?' },
        ],
        sampling: { ...turn.sampling, reuse: true },
      };
      wanted = await page.call('say', model.id, turn);
      await page.call('say', model.id, before);
      at = 0;
      said = await page.call('say', model.id, { ...turn, losses: [at] });
      if (said.reused !== wanted.reused) lost.push(`reused ${said.reused}`);
    } else {
      const { reads, acts } = wanted.acts;
      at =
        phase === 'prefill'
          ? pick(1, reads[0] - 2)
          : phase === 'first token'
            ? pick(reads[0] - 1, reads[0])
            : pick(reads[0] + 1, acts);
      said = await page.call('say', model.id, { ...turn, losses: [at], latest: phase === 'mid-stream' ? MIDDLE : 1 });
    }
    lost = [...lost, ...said.phases];
    const wrong = wrongWith(said, wanted, 'webgpu');
    if (!lost.includes('load')) wrong.push(`the device was not lost: ${lost.join()}`);
    report(
      {
        run,
        phase,
        sampling: greedy ? 'greedy' : 'sampled',
        at: [at],
        tokens: said.tokens,
        backend: said.backend,
        wrong,
      },
      start,
    );
  }

  // without halves, so that the two backends agree to the last token
  const start = Date.now();
  await page.call('unload', model.id);
  model = await openAgain({ ...SOFTWARE, f16: false, exact: true });
  const turn: Turn = {
    messages: [{ role: 'user', content: QUESTIONS[pick(0, 3)] }],
    sampling: { temperature: 0, maxTokens: 32, seed: 1 },
  };
  const wanted = await page.call('say', model.id, turn);
  const { reads, acts } = wanted.acts;
  const at = pick(reads[0] + 1, acts);
  const twice = [at, at + pick(5, model.acts.acts)];
  const said = await page.call('say', model.id, { ...turn, losses: twice, latest: MIDDLE });
  const wrong = wrongWith(said, wanted, 'wasm');
  if (!/WebGPU: .*lost/.test(said.notes.join(' '))) wrong.push(`notes: ${said.notes.join(' ')}`);
  report(
    {
      run: 'twice',
      phase: 'mid-stream',
      sampling: 'greedy',
      at: twice,
      tokens: said.tokens,
      backend: said.backend,
      wrong,
    },
    start,
  );
} finally {
  await page.close();
}
const failed = rows.filter(({ wrong }) => wrong.length > 0).length;
console.error(`${rows.length - failed} of ${rows.length} as they should be`);
process.exit(failed > 0 || rows.length !== runs + 1 ? 1 : 0);
