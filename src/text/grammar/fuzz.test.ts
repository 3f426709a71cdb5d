/**
 * Random schemas, random walks under the mask, and Ajv as the judge of what comes out. GRAMMAR_FUZZ, GRAMMAR_SEED and
 * GRAMMAR_WALKS ask for other schemas and more walks.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';
import { createDice, randomSchema, syntheticVocabulary, type Dice } from '../../../e2e/schema_cases';
import { compileGrammar, createTokenTrie, isAllowed, type Grammar, type GrammarState } from './index';

const vocabulary = syntheticVocabulary();
const END = vocabulary.length - 1;
const trie = createTokenTrie(vocabulary, [END]);
const SCHEMAS = Number(process.env.GRAMMAR_FUZZ ?? 500);
const FIRST = Number(process.env.GRAMMAR_SEED ?? 1);
const WALKS = Number(process.env.GRAMMAR_WALKS ?? 1);
/** after so many tokens a walk takes what ends texts, lists and objects */
const FREE_TOKENS = 25;
const MAX_TOKENS = 150;
const CLOSING = ['"', '}', ']', '0', '1', 'null', 'true', '[', '{', ':', ',', 'a'].map((text) =>
  vocabulary.findIndex((bytes) => bytes && new TextDecoder().decode(bytes) === text),
);

const allowedIds = (mask: Uint32Array): number[] => {
  const ids: number[] = [];
  for (let id = 0; id <= END; id++) if (isAllowed(mask, id)) ids.push(id);
  return ids;
};

/** The mask allows exactly the tokens whose bytes can follow. */
function checkMask(state: GrammarState, mask: Uint32Array, what: string): void {
  for (let id = 0; id < END; id++) {
    const bytes = vocabulary[id];
    if (bytes && isAllowed(mask, id) !== (state.read(bytes) !== undefined))
      throw new Error(`${what}: the mask is wrong for ${JSON.stringify(new TextDecoder().decode(bytes))}`);
  }
  if (isAllowed(mask, END) !== state.canEnd) throw new Error(`${what}: the mask is wrong for the end`);
}

function walk(grammar: Grammar, dice: Dice, schema: unknown): string | undefined {
  let state = grammar.start(trie);
  const bytes: number[] = [];
  for (let n = 0; n < MAX_TOKENS; n++) {
    const mask = state.mask();
    const what = `${JSON.stringify(schema)} after ${new TextDecoder().decode(Uint8Array.from(bytes))}`;
    if (n < 30 && dice(20) === 0) checkMask(state, mask, what);
    const ids = allowedIds(mask);
    if (!ids.length) throw new Error(`dead end: ${what}`);
    const ending = n > FREE_TOKENS || ids.length === 1;
    if (isAllowed(mask, END) && (ending || dice(4) === 0)) {
      expect(state.accept(END).ended).toBe(true);
      return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
    }
    const closing = ending || dice(3) === 0 ? CLOSING.find((one) => isAllowed(mask, one)) : undefined;
    const rest = ids.filter((one) => one !== END);
    const id = closing !== undefined && dice(5) ? closing : rest[dice(rest.length)];
    state = state.accept(id);
    bytes.push(...vocabulary[id]!);
  }
  return undefined;
}

it(`${SCHEMAS} random schemas: what ends is JSON and valid, and no walk meets a dead end`, () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, logger: false });
  const total = { compiled: 0, refused: 0, empty: 0, ended: 0, cut: 0 };
  const problems: string[] = [];
  for (let seed = FIRST; seed < FIRST + SCHEMAS; seed++) {
    const dice = createDice(seed);
    const schema = randomSchema(dice, 3);
    let grammar: Grammar;
    try {
      grammar = compileGrammar({ type: 'json_schema', schema, order: dice(4) ? 'any' : 'schema' });
    } catch (error) {
      if ((error as Error).name !== 'RequestError') throw error;
      total[(error as Error).message.startsWith('No value') ? 'empty' : 'refused']++;
      continue;
    }
    total.compiled++;
    const validate = ajv.compile(schema as object);
    for (let n = 0; n < WALKS; n++) {
      try {
        const text = walk(grammar, dice, schema);
        if (text === undefined) total.cut++;
        else {
          total.ended++;
          if (!validate(JSON.parse(text))) problems.push(`seed ${seed}: ${JSON.stringify(schema)} let through ${text}`);
        }
      } catch (error) {
        problems.push(`seed ${seed}: ${(error as Error).message}`);
      }
    }
  }
  expect(problems.slice(0, 5)).toEqual([]);
  expect(total.compiled).toBeGreaterThan(SCHEMAS * 0.6);
  expect(total.ended).toBeGreaterThan(WALKS * total.compiled * 0.8);
}, 240_000);
