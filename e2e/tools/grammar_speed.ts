/**
 * Measures grammars at 65,536 tokens: compilation, tables of the vocabulary, and masks. `npm run bench:grammar`.
 *
 * A time is that of the clock or that of the process, whichever is less: a busy machine lengthens the one, threads that
 * collect garbage the other. Each walk is repeated with new tables, and the time of a mask is the median of its
 * repetitions; the longest single time is told, too. `--peer` does the same with another package, `--decode` times
 * answers that are held to a form beside free ones.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { compileGrammar, createTokenTrie, isAllowed, type GrammarSpec } from '../../src/text/grammar';
import { largeVocabulary } from '../grammar_vocabulary';
import { seededRandom } from '../schema_cases';
import { compareDecoding } from './grammar_decode';
import { openPeer, PEER } from './grammar_peer';
import { optionalFile, startTool, text, whole } from './options';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Milliseconds of a call. */
async function timed<T>(call: () => T | Promise<T>): Promise<[ms: number, result: T]> {
  const cpu = process.cpuUsage();
  const at = performance.now();
  const result = await call();
  const wall = performance.now() - at;
  const { user, system } = process.cpuUsage(cpu);
  return [Math.min(wall, (user + system) / 1000), result];
}
const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
const median = (values: readonly number[]): number => sorted(values)[values.length >> 1];
const worst = (values: readonly number[]): number => Math.max(...values);
const ms = (value: number): string => `${value.toFixed(3)} ms`;

const large = {
  type: 'object',
  properties: Object.fromEntries(
    Array.from({ length: 60 }, (_, i) => [
      `property_${i}_${'abcdefgh'[i % 8]}`,
      [
        { type: 'string', description: 'a text of the record', maxLength: 200 },
        { type: 'integer', minimum: 0, maximum: 1000 * (i + 1), description: 'a whole number of some range' },
        { type: 'string', enum: ['red', 'green', 'blue', `colour ${i}`], description: 'one of the colours' },
        { type: 'array', items: { type: 'number' }, maxItems: 5, description: 'some numbers in a list' },
        { type: 'object', properties: { name: { type: 'string' }, on: { type: 'boolean' } }, required: ['name'] },
        { type: 'string', pattern: '^[a-z][a-z0-9_]*$', maxLength: 40, description: 'an identifier' },
      ][i % 6],
    ]),
  ),
  required: Array.from({ length: 20 }, (_, i) => `property_${3 * i}_${'abcdefgh'[(3 * i) % 8]}`),
  additionalProperties: false,
};

const CASES: Record<string, GrammarSpec> = {
  'small object': {
    type: 'json_schema',
    schema: {
      type: 'object',
      properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0 } },
      required: ['name', 'age'],
    },
  },
  [`${JSON.stringify(large).length} bytes, 60 properties`]: { type: 'json_schema', schema: large },
  'maxLength: 1000': { type: 'json_schema', schema: { type: 'string', maxLength: 1000 } },
  'maxLength: 100': { type: 'json_schema', schema: { type: 'string', maxLength: 100 } },
  'any object': { type: 'json_object' },
  'date-time, uuid, uri, email': {
    type: 'json_schema',
    schema: {
      type: 'array',
      prefixItems: ['date-time', 'uuid', 'uri', 'email'].map((format) => ({ type: 'string', format })),
      minItems: 4,
      items: false,
    },
  },
  'patterns, lengths, free keys': {
    type: 'json_schema',
    schema: {
      type: 'object',
      properties: {
        a: { type: 'string', pattern: 'foo.*bar|baz$', minLength: 2 },
        b: {
          anyOf: [
            { type: 'string', pattern: '^[^x]*$', maxLength: 60 },
            { type: 'number', multipleOf: 0.25 },
          ],
        },
      },
      patternProperties: { '^x-': { type: 'string' } },
      additionalProperties: { type: 'array', items: { type: 'integer' }, uniqueItems: true },
      required: ['a', 'b'],
    },
  },
  'calls of a tool': {
    type: 'tool_calls',
    tools: [{ name: 'record', parameters: large }],
    choice: 'required',
    markers: { start: 65_534, end: 65_533 },
  },
};

const {
  walks,
  repeats,
  only,
  peer: folder,
  decode,
  threads,
} = startTool('npm run bench:grammar --', 'Measures grammars at 65,536 made-up tokens.', {
  walks: whole('texts of each grammar', 6, 1),
  repeats: whole('how often each of them is read', 5, 1),
  only: text('TEXT', 'the cases whose name contains it', ''),
  peer: optionalFile(`a folder with ${PEER} in its node_modules, to measure it, too`),
  decode: text('SHAPE', 'times constrained and free answers of a model of this shape, as 350m, in place of grammars'),
  threads: whole('--decode: threads of the WASM backend', 2, 1),
});

const vocabulary = largeVocabulary();
const end = vocabulary.length - 1;
const TOKENS = 200;
const PEER_TOKENS = 60;

/** One way to make masks: ours, or another one. */
interface Masks {
  ended(): boolean;
  mask(): ArrayLike<number> | Promise<ArrayLike<number>>;
  accept(id: number): void;
}

/** The times of the masks along random texts; a quote is wanted often, so that texts end. */
async function walk(start: () => Masks | Promise<Masks>, count: number, tokens: number) {
  const random = seededRandom(3);
  const masks: number[] = [];
  const accepts: number[] = [];
  for (let i = 0; i < count; i++) {
    const state = await start();
    for (let n = 0; n < tokens && !state.ended(); n++) {
      const [took, mask] = await timed(() => state.mask());
      masks.push(took);
      const allowed = (one: number): boolean => isAllowed(mask as Uint32Array, one);
      let id = Math.floor(random() * vocabulary.length);
      if (random() < 0.15 && allowed(0x22)) id = 0x22;
      for (let tries = 0; tries < vocabulary.length && !allowed(id); tries++) id = (id + 1) % vocabulary.length;
      accepts.push((await timed(() => state.accept(id)))[0]);
    }
  }
  return { masks, accepts };
}

function report(name: string, compiles: readonly number[], runs: Awaited<ReturnType<typeof walk>>[]): void {
  const masks = runs[0].masks.map((_, i) => median(runs.map((run) => run.masks[i])));
  const single = worst(runs.flatMap((run) => run.masks));
  console.log(
    `${name.padEnd(28)} compile ${ms(median(compiles))} (first ${ms(compiles[0])}); mask of ${masks.length}: ` +
      `median ${ms(median(masks))}, 99 % ${ms(sorted(masks)[Math.floor(masks.length * 0.99)])}, ` +
      `worst ${ms(worst(masks))} (single ${ms(single)}); accept ${ms(median(runs.flatMap((run) => run.accepts)))}`,
  );
}

async function measureOwn(name: string, spec: GrammarSpec): Promise<void> {
  const compiles: number[] = [];
  for (let i = 0; i < 7; i++) compiles.push((await timed(() => compileGrammar(spec)))[0]);
  const runs = [];
  for (let i = 0; i < repeats; i++) {
    const trie = createTokenTrie(vocabulary, [end]);
    const grammar = compileGrammar(spec);
    collectGarbage();
    const start = (): Masks => {
      let state = grammar.start(trie);
      return { ended: () => state.ended, mask: () => state.mask(), accept: (id) => void (state = state.accept(id)) };
    };
    runs.push(await walk(start, walks, TOKENS));
  }
  report(name, compiles, runs);
}

async function measurePeer(at: string, cases: readonly (readonly [string, GrammarSpec])[]): Promise<void> {
  const peer = openPeer(at, vocabulary, end);
  const [took, tables] = await timed(peer.tables);
  console.log(`${PEER}: tables of the vocabulary ${ms(took)}`);
  for (const [name, spec] of cases) {
    const schema =
      spec.type === 'json_schema' ? spec.schema : spec.type === 'json_object' ? { type: 'object' } : undefined;
    if (schema === undefined) continue;
    const [compile, grammar] = await timed(() => peer.compile(tables, schema));
    const start = async (): Promise<Masks> => {
      const matcher = await peer.start(grammar);
      return {
        ended: () => matcher.isTerminated(),
        mask: () => matcher.getNextTokenBitmask(),
        accept: (id) => void matcher.acceptToken(id),
      };
    };
    report(`${PEER}: ${name}`, [compile], [await walk(start, 2, PEER_TOKENS)]);
  }
}

const cases = Object.entries(CASES).filter(([name]) => name.includes(only));
if (decode !== undefined) console.log(JSON.stringify(await compareDecoding(decode, threads)));
else {
  const tables: number[] = [];
  for (let i = 0; i < 5; i++) tables.push((await timed(() => createTokenTrie(vocabulary, [end])))[0]);
  console.log(`tables of the vocabulary: median ${ms(median(tables))}, worst ${ms(worst(tables))}`);
  for (const [name, spec] of cases) await measureOwn(name, spec);
  if (folder !== undefined) await measurePeer(folder, cases);
}
