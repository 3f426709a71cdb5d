/** Tool calls that are held to signatures: in LFM2's syntax, which is like Python, or in JSON. */
import { show } from '../../errors';
import { failRequest } from './request';
import { ARRAY, OBJECT, type Formula } from './formula';
import type { Writing } from './lexer';
import { Node } from './node';
import { advance, begin, closes, type Piece } from './piece';
import { isPlainObject, type SchemaObject } from './references';
import { parseRegex } from './regex';
import { compileSchema, type SchemaOptions } from './schema';
import type { Solver } from './solver';
import { wordsKind } from './strings';
import { END, freeText, specialToken } from './texts';
import { createValues, JSON_SYNTAX, PYTHON_SYNTAX, type Values } from './values';

export interface ToolCallsSpec extends Pick<SchemaOptions, 'strict' | 'formats' | 'order'> {
  type: 'tool_calls';
  /** as `chat` takes them: `{ type: 'function', function: { name, parameters } }`, or `{ name, parameters }` */
  tools: readonly (object | string)[];
  /** 'auto': text or calls; 'required': calls; a name: calls of this tool */
  choice: 'auto' | 'required' | { name: string };
  /** false: one call at most */
  parallel?: boolean;
  /** 'python' (default): `[name(argument=1)]`; 'json': `[{"name": "name", "arguments": {"argument": 1}}]` */
  syntax?: 'python' | 'json';
  /** ids of `<|tool_call_start|>` and `<|tool_call_end|>` */
  markers: { start: number; end: number };
  /** ids of special tokens that may stand in the text around the calls */
  textSpecials?: readonly number[];
}

interface Tool {
  name: string;
  parameters: SchemaObject;
  path: string;
}

/** What src/text/tool_calls.ts reads as a name. */
const NAME = String.raw`[\p{L}_][\p{L}\p{N}_.\-]*`;
const IS_NAME = new RegExp(`^${NAME}$`, 'u');

function readTool(given: unknown, i: number): Tool {
  const path = `tools[${i}]`;
  let tool: unknown = given;
  if (typeof given === 'string') {
    try {
      tool = JSON.parse(given);
    } catch {
      tool = undefined;
    }
  }
  const outer = isPlainObject(tool) ? tool : {};
  const inner = isPlainObject(outer.function) ? outer.function : outer;
  const { name, parameters } = inner;
  if (typeof name !== 'string' || !name)
    return failRequest({ what: `${path} has no name`, got: show(given), wanted: '{ name, parameters }' });
  const where = inner === outer ? `${path}.parameters` : `${path}.function.parameters`;
  if (parameters === undefined || parameters === null)
    return { name, parameters: { type: 'object', additionalProperties: false }, path: where };
  if (!isPlainObject(parameters))
    return failRequest({ what: `${where} is no schema`, got: show(parameters), wanted: 'an object' });
  return { name, parameters, path: where };
}

/** Keywords beside which the names of all arguments are not known. */
const OPEN = [
  'additionalProperties',
  '$ref',
  'allOf',
  'anyOf',
  'oneOf',
  'if',
  'patternProperties',
  'unevaluatedProperties',
];

/** A signature has no other arguments than those that it names. */
function closed(parameters: SchemaObject): SchemaObject {
  const open = OPEN.some((name) => name in parameters);
  return { ...parameters, type: 'object', ...(!open && { additionalProperties: false }) };
}

/** @throws RequestError */
export function toolCalls(solver: Solver, spec: ToolCallsSpec): { start: Node; checked: string[]; values: Values } {
  const { formulas, terms } = solver;
  const { literal, of, and, or, constant, record, size } = formulas;
  const { tools, choice, parallel = true, syntax = 'python', markers, textSpecials = [] } = spec;
  const checked: string[] = [];
  const all = tools.map(readTool);
  const chosen = typeof choice === 'object' ? all.filter(({ name }) => name === choice.name) : all;
  if (!chosen.length)
    failRequest({
      what: typeof choice === 'object' ? `No tool is called ${show(choice.name)}` : 'There are no tools to call',
      wanted: all.map(({ name }) => name).join() || 'at least one tool',
    });
  const bareNames = literal({
    type: 'each',
    keys: { term: terms.not(parseRegex(terms, NAME, 'whole')) },
    of: formulas.NEVER,
  });
  const signatures = new Map<string, Formula>();
  for (const { name, parameters, path } of chosen) {
    if (syntax === 'python' && !IS_NAME.test(name)) refuseName(name, 'The name of a tool');
    const compiled = compileSchema(solver, closed(parameters), spec, path);
    checked.push(...compiled.checked);
    const formula = and(formulas.types(OBJECT), compiled.formula, syntax === 'python' ? bareNames : formulas.ANY);
    // makes the automata of names before the first mask
    solver.explore(formula);
    if (!solver.has(formula))
      refuseName(
        Object.keys(isPlainObject(parameters.properties) ? parameters.properties : {}).join(', '),
        'An argument',
      );
    signatures.set(name, formula);
  }
  const values = createValues(solver, syntax === 'python' ? PYTHON_SYNTAX : JSON_SYNTAX);
  const once = specialToken(markers.end, END);
  const auto = choice === 'auto';
  const free: Node = freeText(
    () => [[markers.start, calls], ...textSpecials.map((id): [number, Node] => [id, free])],
    true,
  );
  const behind: Node = auto && parallel ? specialToken(markers.end, free) : once;
  const calls: Node = syntax === 'python' ? pythonCalls(values, signatures, parallel, behind) : jsonCalls();
  return { start: auto ? free : specialToken(markers.start, calls), checked, values };

  function jsonCalls(): Node {
    const one = ([name, formula]: [string, Formula]): Formula =>
      and(
        literal({ type: 'ordered' }),
        record([
          ['name', constant(name)],
          ['arguments', formula],
        ]),
      );
    const list = of(
      ARRAY,
      literal({ type: 'items', prefix: [], rest: or(...[...signatures].map(one)) }),
      size('count', 1, parallel ? Infinity : 1),
    );
    return values.value(
      values.newFrame((groups) => (groups.length ? behind : null)),
      list,
    )!;
  }
}

function refuseName(name: string, what: string): never {
  return failRequest({
    what: `${what} cannot be written in the syntax of calls`,
    got: name,
    wanted: 'letters, digits, underscores, hyphens and dots, with a letter or underscore first',
    cure: 'Rename it.',
  });
}

const [OPENING, CLOSING, COMMA] = [0x5b, 0x5d, 0x2c];
/** A name of a tool ends at its parenthesis, a name of an argument at the equals sign. */
const TOOL_NAME: Writing = { close: 0x28 };
const ARGUMENT_NAME: Writing = { close: 0x3d };

/** `[name(argument=value), …]` */
function pythonCalls(values: Values, signatures: ReadonlyMap<string, Formula>, parallel: boolean, behind: Node): Node {
  const names = [...signatures.keys()];
  const sorted = [...new Set(names)].sort();
  const kind = wordsKind(names, TOOL_NAME);

  /** In the list of calls: before a name, or behind a call. */
  const callNode = (phase: 'name' | 'after'): Node =>
    values.spaced(`call ${phase}`, (byte) => {
      if (phase === 'name') return nameNode(begin(kind)!).next(byte);
      if (byte === COMMA && parallel) return callNode('name');
      return byte === CLOSING ? behind : null;
    });
  const frame = values.newFrame((groups) => (groups.length ? callNode('after') : null));
  const argumentsOf = (label: number): Node | null => values.call(frame, signatures.get(sorted[label])!, ARGUMENT_NAME);

  const nameNode = (piece: Piece): Node =>
    values.intern(
      `name ${piece.state}`,
      () =>
        new Node({
          step(byte) {
            const label = closes(piece, byte);
            if (label >= 0) return argumentsOf(label);
            const next = advance(piece, byte);
            return next && nameNode(next);
          },
          lexemes: () => [{ piece, needs: 'nothing', exit: argumentsOf }],
        }),
    );
  return new Node({ step: (byte) => (byte === OPENING ? callNode('name') : null) });
}
