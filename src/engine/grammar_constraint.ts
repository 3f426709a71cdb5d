/** Grammars as constraints of answers: their tokens by the tokenizer of the model. In the side file `grammar`. */
import { failRequest } from '../text/grammar/request';
import {
  checkText,
  compileGrammar,
  createTokenTrie,
  type Grammar,
  type GrammarSpec,
  type JsonSchemaSpec,
  type ThinkingMarks,
  type TokenTrie,
} from '../text/grammar';
import type { Constraint, ConstrainedModel, ConstraintRequest, SchemaReport } from './constraints';

const [CALLS_BEGIN, CALLS_END] = ['<|tool_call_start|>', '<|tool_call_end|>'];
const [THINK, THINK_END] = ['<think>', '</think>'];

/** Compiled grammars that stay; the oldest goes first. */
const MAX_GRAMMARS = 16;

const tries = new WeakMap<object, TokenTrie>();
const grammars = new Map<string, Grammar>();

/** @throws RequestError for a form that is not valid, that no text fits, or that cannot be enforced */
export function grammarConstraint(request: ConstraintRequest, model: ConstrainedModel): Constraint {
  const thinking = thinkingOf(request, model);
  const spec = specOf(request, model);
  const grammar = grammarOf(spec, thinking);
  let state = grammar.start(trieOf(model));
  // what the prompt holds of the answer itself
  const begun = thinking?.begun ? '' : (request.begun ?? '');
  if (begun)
    state =
      state.read(new TextEncoder().encode(begun)) ??
      failRequest({ what: 'The answer has begun with what its form does not allow', got: begun });
  return {
    mask() {
      const mask = state.mask();
      if (!mask.some(Boolean)) failRequest({ what: 'The vocabulary cannot write the form' });
      return mask;
    },
    accept: (id) => void (state = state.accept(id)),
    ...(spec.type === 'json_schema' && spec.strict === false && { report: (text) => report(begun + text) }),
  };

  function report(text: string): SchemaReport {
    const { valid, unchecked } = checkText(text, spec as JsonSchemaSpec);
    return { valid, unenforced: grammar.checked, unchecked };
  }
}

function trieOf({ tokenizer, vocabSize, eosIds }: ConstrainedModel): TokenTrie {
  let trie = tries.get(tokenizer);
  if (!trie) {
    const bytes = Array.from({ length: vocabSize }, (_, id) => tokenizer.bytes(id));
    tries.set(tokenizer, (trie = createTokenTrie(bytes, eosIds)));
  }
  return trie;
}

function grammarOf(spec: GrammarSpec, thinking?: ThinkingMarks): Grammar {
  const key = JSON.stringify([spec, thinking]);
  const grammar = grammars.get(key) ?? compileGrammar(spec, thinking);
  grammars.delete(key);
  grammars.set(key, grammar);
  if (grammars.size > MAX_GRAMMARS) grammars.delete(grammars.keys().next().value!);
  return grammar;
}

function thinkingOf({ begun = '' }: ConstraintRequest, { tokenizer }: ConstrainedModel): ThinkingMarks | undefined {
  const [start, end] = [tokenizer.tokenId(THINK), tokenizer.tokenId(THINK_END)];
  return end === undefined ? undefined : { start, end, begun: begun.includes(THINK) && !begun.includes(THINK_END) };
}

function specOf(
  { responseFormat, toolChoice, tools = [] }: ConstraintRequest,
  { tokenizer, answerMarkers }: ConstrainedModel,
): GrammarSpec {
  if (!toolChoice || toolChoice === 'none') {
    return responseFormat as Exclude<typeof responseFormat, undefined | { type: 'text' }>;
  }
  const [start, end] = [tokenizer.tokenId(CALLS_BEGIN), tokenizer.tokenId(CALLS_END)];
  if (start === undefined || end === undefined)
    return failRequest({ what: 'The model has no tokens for calls of tools', wanted: CALLS_BEGIN });
  if (!tools.length) failRequest({ what: 'toolChoice needs tools', cure: 'Pass tools, or leave it out.' });
  const textSpecials = answerMarkers.flatMap((text) => tokenizer.tokenId(text) ?? []);
  return {
    type: 'tool_calls',
    tools,
    choice: toolChoice,
    markers: { start, end },
    textSpecials: textSpecials.filter((id) => id !== start && id !== end),
    strict: true,
  };
}
