/** docs/troubleshooting.md names every error that the sources can raise, under the name that it has. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import ts from 'typescript-5.6';

const root = resolve(import.meta.dirname, '..');

/** Messages of faults in Rivulet itself: no use of the public calls causes them. */
const FAULTS = [
  'The call is over',
  'A stop string is empty', // generate_options.ts refuses it before
  'The device chose tokens that the mask excludes',
  'The token mask has the wrong length',
  'A token mask applies to one step only',
  'The number of tokens in one prefill is wrong',
  'A token is outside the vocabulary', // the engine refuses it before
  // no public call gives rows or reads a second output
  'The rows of the input are wrong',
  'Output … is gone',
  'decode needs a prefill before it',
  'There are no logits before a prefill',
  'The WASM backend is closed',
  'The conversation is closed',
  'A conversation cannot be copied while it is used',
  'The conversation is too large to be saved',
  'The saved conversation is damaged',
  'The saved conversation is of another model or device',
  'The saved conversation is longer than the context',
  'A token of the saved conversation is outside the vocabulary',
  // the causes of 'The state of the exported conversation cannot be used', or a note
  'The exported conversation has no state',
  'The exported conversation is of another model or build',
  'The state of the exported conversation is of other messages',
  'The exported conversation is too large for this device',
  'The model needs a side file', // the page gets it
  '… is not in this backend',
  '… lacks an operation of the model', // all backends have those of the library
  '… or … has several segments',
  'The convolution … is too long',
  'The WASM kernels do not support this attention shape',
  'The rows of … are not in order',
  'Rows of … are missing',
  'Rows of … do not fit the matrix',
  'A shader file is missing',
  'Two bindings of … have number …',
  'The bindings of … are not those of its kernel',
  // no model of the library has them
  'The factors of RoPE are wrong',
  'The sequences of a call are wrong',
  'The model does not take several sequences',
  'The model reads no tokens that it draws',
  'The grammar does not allow the token', // its mask excludes it
  '…r…', // a key of digits.ts
];

/** Functions that pass a message on, and where it is in their arguments. */
const HELPERS: Record<string, number> = { demand: 1, refuse: 0, elementError: 1 };

interface Found {
  message: string;
  where: string;
  /** the ErrorName, where it is written beside the message */
  name?: string;
}

/** The first argument of the call that an argument belongs to, if it is a name. */
function nameBeside({ parent }: ts.Node): string | undefined {
  const first = ts.isCallExpression(parent) || ts.isNewExpression(parent) ? parent.arguments?.[0] : undefined;
  return first && ts.isStringLiteral(first) && /Error$/.test(first.text) ? first.text : undefined;
}

/** The messages of one file: what is given as `what`, with … for each value in it. */
function messagesOf(path: string): Found[] {
  const file = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ESNext, true);
  const found: Found[] = [];
  const add = (node: ts.Node, name?: string): void => {
    const where = `${path.slice(root.length + 1)}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
    if (ts.isStringLiteralLike(node)) found.push({ message: node.text, where, name });
    else if (ts.isTemplateExpression(node))
      found.push({
        message: (node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('')).replace(
          '……',
          '…',
        ),
        where,
        name,
      });
    else if (ts.isConditionalExpression(node)) [node.whenTrue, node.whenFalse].forEach((part) => add(part, name));
    else if (ts.isBinaryExpression(node)) [node.left, node.right].forEach((part) => add(part, name));
  };
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAssignment(node) && node.name.getText() === 'what') add(node.initializer, nameBeside(node.parent));
    if (ts.isVariableDeclaration(node) && node.name.getText() === 'what' && node.initializer) add(node.initializer);
    if (ts.isCallExpression(node)) {
      const at = HELPERS[node.expression.getText()];
      if (at !== undefined && node.arguments[at]) add(node.arguments[at], nameBeside(node.arguments[at]));
    }
    // a table of messages
    if (
      ts.isStringLiteral(node) &&
      ts.isArrayLiteralExpression(node.parent) &&
      /(not supported yet|\(mmproj\))$/.test(node.text)
    )
      add(node);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  // the interfaces name the field of a request (docs/openai.md)
  .filter((name) => !/^(openai|prompt_api)\//.test(name))
  .filter((name) => name.endsWith('.ts') && !/\.test\.ts$|reference|conformance|linear_check|self_test/.test(name))
  .map((name) => join(root, 'src', name));
const messages = sources
  .flatMap(messagesOf)
  // a route that failed has a code (docs/router.md)
  .filter(({ where, name }) => name || !where.startsWith('src/router/'));
const text = readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8');
const sections = new Map(
  text
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.split('\n')[0], section]),
);
const errors = [...sections].filter(([name]) => /^\w+Error$/.test(name));
const documented = errors.flatMap(([, section]) =>
  [...section.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell]) =>
    cell.split('<br>').map((message) => message.slice(1, -1)),
  ),
);

test('it has a section for every ErrorName', () => {
  const type = /export type ErrorName =([\s\S]*?);/.exec(readFileSync(join(root, 'src/errors.ts'), 'utf8'))![1];
  const names = [...type.matchAll(/'(\w+)'/g)].map(([, name]) => name);
  expect(names).toHaveLength(7);
  expect(errors.map(([name]) => name).sort()).toEqual([...names, 'AbortError'].sort());
});

test('it lists every message of the sources that a user can cause', () => {
  expect(messages.length).toBeGreaterThan(130);
  const known = new Set([...documented, ...FAULTS]);
  expect(
    messages.filter(({ message }) => !known.has(message)).map(({ message, where }) => `${where}: ${message}`),
  ).toEqual([]);
});

test('docs/router.md says what every code of a route that failed means', () => {
  const source = readFileSync(join(root, 'src/router/route_error.ts'), 'utf8');
  const codes = [.../const STATUS = \{([\s\S]*?)\}/.exec(source)![1].matchAll(/(\w+):/g)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(20);
  const cells = [...readFileSync(join(root, 'docs/router.md'), 'utf8').matchAll(/^\| (`[a-z_]+`.*?) \|/gm)];
  const listed = cells.flatMap(([, cell]) => [...cell.matchAll(/`(\w+)`/g)]).map(([, code]) => code);
  expect(listed.sort()).toEqual(codes.sort());
});

test('it lists no message that the sources do not have', () => {
  const raised = new Set(messages.map(({ message }) => message));
  expect([...documented, ...FAULTS].filter((message) => !raised.has(message))).toEqual([]);
  expect(
    documented.filter((message, i) => documented.indexOf(message) < i && message !== 'Tensor … has a wrong shape'),
  ).toEqual([]);
});

test('every message stands under the name that it is raised with', () => {
  const named = messages.filter(({ name, message }) => name && !FAULTS.includes(message));
  expect(named.length).toBeGreaterThan(100);
  expect(
    named
      .filter(({ name, message }) => !sections.get(name!)?.includes(`\`${message}\``))
      .map(({ name, message, where }) => `${where}: ${name}: ${message}`),
  ).toEqual([]);
});
