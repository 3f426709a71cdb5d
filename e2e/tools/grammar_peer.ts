/** The package @mlc-ai/web-xgrammar on the cases of grammar_speed.ts, for comparison. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { writtenTokens } from '../grammar_vocabulary';

export const PEER = '@mlc-ai/web-xgrammar';

interface Matcher {
  getNextTokenBitmask(): Promise<Int32Array>;
  acceptToken(id: number): boolean;
  isTerminated(): boolean;
  dispose(): void;
}
interface Peer {
  TokenizerInfo: {
    createTokenizerInfo(
      vocabulary: string[],
      type: string,
      prefix: boolean,
      size: number,
      stops: number[],
    ): Promise<object>;
  };
  GrammarCompiler: {
    createGrammarCompiler(
      info: object,
      cached: boolean,
    ): Promise<{ compileJSONSchema(schema: string): Promise<object> }>;
  };
  GrammarMatcher: { createGrammarMatcher(grammar: object): Promise<Matcher> };
}

/** @param folder where the package was installed. Its script is UMD, though its package says it is a module */
export function openPeer(folder: string, vocabulary: readonly (Uint8Array | undefined)[], end: number) {
  const file = join(folder, 'node_modules', PEER, 'lib/index.js');
  const module: { exports: Partial<Peer> } = { exports: {} };
  // oxlint-disable-next-line typescript/no-implied-eval
  new Function('module', 'exports', 'require', '__filename', '__dirname', readFileSync(file, 'utf8'))(
    module,
    module.exports,
    createRequire(file),
    file,
    dirname(file),
  );
  const { TokenizerInfo, GrammarCompiler, GrammarMatcher } = module.exports as Peer;
  const texts = writtenTokens(vocabulary);
  return {
    tables: () => TokenizerInfo.createTokenizerInfo(texts, 'byte_level', false, texts.length, [end]),
    async compile(tables: object, schema: unknown): Promise<object> {
      const compiler = await GrammarCompiler.createGrammarCompiler(tables, false);
      return compiler.compileJSONSchema(JSON.stringify(schema));
    },
    start: (grammar: object) => GrammarMatcher.createGrammarMatcher(grammar),
  };
}
