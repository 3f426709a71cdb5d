/**
 * Judges the grammars of JSON Schema by a copy of the JSON-Schema-Test-Suite: every instance is read as text, compact
 * and spaced, cut into random tokens. `npm run schema-suite -- --suite DIR`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileGrammar, createTokenTrie, isAllowed, type Grammar } from '../../src/text/grammar';
import { seededRandom, syntheticVocabulary, cutIntoTokens } from '../schema_cases';
import { file, flag, startTool } from './options';

interface Test {
  description: string;
  data: unknown;
  valid: boolean;
}
interface Group {
  description: string;
  schema: unknown;
  tests: Test[];
}

const DRAFTS = {
  'draft2020-12': 'https://json-schema.org/draft/2020-12/schema',
  draft7: 'http://json-schema.org/draft-07/schema#',
};

const {
  suite: directory,
  formats: withFormats,
  verbose,
} = startTool('npm run schema-suite --', 'Judges the grammars of JSON Schema by JSON-Schema-Test-Suite.', {
  suite: file('a copy of JSON-Schema-Test-Suite'),
  formats: flag('also its optional tests of formats and expressions'),
  verbose: flag('prints why a schema is refused'),
});

const vocabulary = syntheticVocabulary();
const trie = createTokenTrie(vocabulary, [vocabulary.length - 1]);
const end = vocabulary.length - 1;
const random = seededRandom(1);

/** Whether all ways of writing the instance are accepted, or none. */
function judge(grammar: Grammar, data: unknown): boolean {
  const verdicts = [JSON.stringify(data), JSON.stringify(data, null, 2)].flatMap((text) =>
    [0, 1].map(() => {
      let state = grammar.start(trie);
      for (const id of cutIntoTokens(text, vocabulary, random)) {
        if (!isAllowed(state.mask(), id)) return false;
        state = state.accept(id);
      }
      return isAllowed(state.mask(), end);
    }),
  );
  if (new Set(verdicts).size > 1)
    throw new Error(`${JSON.stringify(current)} The verdict depends on how ${JSON.stringify(data)} is written.`);
  return verdicts[0];
}

const HEADS = ['enforced', 'refused', 'listed', 'right', 'invalid accepted', 'valid refused'];
const WIDTHS = HEADS.map(({ length }) => length + 2);
let failed = false;
let current: unknown;
for (const [draft, dialect] of Object.entries(DRAFTS)) {
  const folder = join(directory, 'tests', draft);
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  const extra = withFormats
    ? [
        ...readdirSync(join(folder, 'optional', 'format')).map((name) => `optional/format/${name}`),
        'optional/ecmascript-regex.json',
        'optional/non-bmp-regex.json',
      ]
    : [];
  const total = { groups: 0, tests: 0, right: 0, accepted: 0, refused: 0, groupsRefused: 0 };
  const rows: string[] = [];
  for (const name of [...names, ...extra]) {
    const row = { groups: 0, right: 0, accepted: 0, refused: 0, groupsRefused: 0, checked: 0 };
    for (const group of JSON.parse(readFileSync(join(folder, name), 'utf8')) as Group[]) {
      row.groups++;
      const schema =
        typeof group.schema === 'object' && !('$schema' in group.schema!)
          ? { $schema: dialect, ...group.schema }
          : group.schema;
      // the suite tests format as an annotation, but in its optional part
      const formats = name.startsWith('optional/') ? 'assert' : 'annotate';
      current = group.schema;
      let grammar: Grammar | undefined;
      try {
        grammar = compileGrammar({ type: 'json_schema', schema, formats });
      } catch (error) {
        if ((error as Error).name !== 'RequestError') throw error;
        const none = (error as Error).message.startsWith('No value fits');
        if (!none) {
          row.groupsRefused++;
          // a reference that leads nowhere cannot be checked either
          if (!/not in the document/.test((error as Error).message)) {
            const lax = compileGrammar({ type: 'json_schema', schema, formats, strict: false });
            if (lax.checked.length) row.checked++;
          }
          if (verbose) console.log(`  ${name} / ${group.description}: ${(error as Error).message}`);
          continue;
        }
      }
      for (const { data, valid, description } of group.tests) {
        const verdict = grammar ? judge(grammar, data) : false;
        if (verdict === valid) row.right++;
        else {
          row[verdict ? 'accepted' : 'refused']++;
          console.log(
            `  ${verdict ? 'INVALID ACCEPTED' : 'valid refused'}: ${name} / ${group.description} / ${description}`,
          );
        }
      }
    }
    const figures = [
      row.groups - row.groupsRefused,
      row.groupsRefused,
      row.checked,
      row.right,
      row.accepted,
      row.refused,
    ];
    rows.push(name.replace('.json', '').padEnd(34) + figures.map((n, i) => String(n).padStart(WIDTHS[i])).join(''));
    if (name.startsWith('optional/')) continue;
    total.groups += row.groups;
    total.right += row.right;
    total.accepted += row.accepted;
    total.refused += row.refused;
    total.groupsRefused += row.groupsRefused;
  }
  console.log(`\n${draft}\n${'keyword'.padEnd(34)}${HEADS.map((head, i) => head.padStart(WIDTHS[i])).join('')}`);
  console.log(rows.join('\n'));
  console.log(
    `\n${draft}: ${total.groups} groups, ${total.groupsRefused} refused by name; ${total.right} verdicts right, ` +
      `${total.accepted} invalid instances accepted, ${total.refused} valid ones refused`,
  );
  if (total.accepted || total.refused > 5 || total.groupsRefused > 60) failed = true;
}
if (failed) process.exitCode = 1;
