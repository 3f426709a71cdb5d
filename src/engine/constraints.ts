/** What holds an answer to a form. The grammars are in the side file `grammar`. */
import { fail } from '../errors';
import type { Tokenizer } from '../text/tokenizer';

/** The form of an answer. */
export type ResponseFormat =
  | { type: 'text' }
  /** a JSON object */
  | { type: 'json_object' }
  /**
   * a JSON value that fits a schema: 2020-12 or draft 7. `order: 'schema'`: keys in the order of the schema.
   * `strict: false`: a keyword that cannot be enforced is checked when the answer is complete, and reported; by default
   * it is refused
   */
  | { type: 'json_schema'; schema: object | boolean; order?: 'any' | 'schema'; strict?: boolean }
  /** a text that a regular expression of JavaScript matches whole */
  | { type: 'regex'; pattern: string }
  /** one of these texts */
  | { type: 'choices'; choices: readonly string[] }
  /** a text of a grammar in a notation like GBNF */
  | { type: 'grammar'; grammar: string };

/**
 * `auto`: text, or calls that fit the tools; `required`: calls; a name: calls of this tool; `none`: the tools are not
 * offered
 */
export type ToolChoice = 'auto' | 'none' | 'required' | { name: string };

export interface ConstraintRequest {
  responseFormat?: ResponseFormat;
  toolChoice?: ToolChoice;
  tools?: readonly (object | string)[];
  /** the beginning of the answer that the prompt holds */
  begun?: string;
}

/** What was found out about an answer with `strict: false`. */
export interface SchemaReport {
  /** the answer fits the schema, as far as it was looked at; false for one that was cut */
  valid: boolean;
  /** JSON pointers of the keywords that the choice of tokens did not enforce */
  unenforced: readonly string[];
  /** those that were not checked afterwards either; '' is the whole schema */
  unchecked: readonly string[];
}

/** The tokens that may come next, as an answer grows. */
export interface Constraint {
  /** bit v & 31 of word v >> 5 is set when token v may come */
  mask(): Uint32Array;
  /** @throws RequestError for a token that the mask excludes */
  accept(id: number): void;
  /** of an answer that is not held to all of its schema */
  report?(text: string): SchemaReport;
}

export interface ConstrainedModel {
  readonly tokenizer: Tokenizer;
  readonly vocabSize: number;
  readonly eosIds: readonly number[];
  readonly answerMarkers: readonly string[];
}

type CreateConstraint = (request: ConstraintRequest, model: ConstrainedModel) => Constraint;

let create: CreateConstraint | undefined;
export const registerConstraints = (given: CreateConstraint): void => void (create = given);

/** Undefined where the answer is free. @throws RequestError */
export function constraintOf(request: ConstraintRequest, model: ConstrainedModel): Constraint | undefined {
  const { responseFormat, toolChoice, tools } = request;
  const form = responseFormat && responseFormat.type !== 'text';
  const calls = toolChoice && toolChoice !== 'none';
  if (!form && !calls) return undefined;
  if (form && tools && toolChoice !== 'none')
    fail('RequestError', {
      what: 'An answer cannot be held to responseFormat where it may call tools',
      cure: "Leave out tools, set toolChoice: 'none', or leave out responseFormat.",
    });
  return (
    create?.(request, model) ??
    fail('RequestError', {
      what: `This model cannot be held to ${calls ? 'toolChoice' : 'responseFormat'}`,
      cure: 'Load it with constraints: true.',
    })
  );
}
