/**
 * The types of the package: for each entry of the library one file, which holds what the entry exports and the types
 * that this mentions.
 * The project's compiler writes a declaration for each source. API Extractor, with a compiler of its own, rolls them
 * up: TypeScript 7 has no API for such tools yet.
 */
import { execFile } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Plugin } from 'vite';

const here = dirname(fileURLToPath(import.meta.url));
const parts = join(here, '.cache/declarations'); // not in node_modules, whose types API Extractor takes for other people's

/** `dist`/NAME.d.mts beside NAME.mjs, for entries as { NAME: source in src/ } */
export function declarations(entries: Record<string, string>, dist: string): Plugin {
  return {
    name: 'rivulet-declarations',
    async closeBundle() {
      await declare(Object.values(entries));
      for (const [name, source] of Object.entries(entries)) await rollUp(source, join(dist, `${name}.d.mts`));
    },
  };
}

/** `dist`/NAME.d.ts beside NAME.js, a classic script that sets the global NAME to what NAME.mjs exports */
export function globalDeclaration(name: string, dist: string): Plugin {
  return {
    name: 'rivulet-global-declaration',
    closeBundle: () =>
      writeFileSync(
        join(dist, `${name}.d.ts`),
        `/** What the script ${name}.js sets. */\ndeclare var ${name}: typeof import('./${name}.mjs');\n`,
      ),
  };
}

/** A declaration for each source that the entries reach, in `parts`. */
async function declare(sources: string[]): Promise<void> {
  rmSync(parts, { recursive: true, force: true });
  mkdirSync(parts, { recursive: true });
  const config = join(parts, 'tsconfig.json');
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    stripInternal: true,
    rootDir: join(here, 'src'),
    outDir: parts,
  };
  const files = [...sources, join(here, 'src/virtual.d.ts')];
  writeFileSync(config, JSON.stringify({ extends: join(here, 'tsconfig.json'), compilerOptions, files, include: [] }));
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  await promisify(execFile)(process.execPath, [tsc, '-p', config]).catch(({ message, stdout }) => {
    throw new Error(`${message}\n${stdout}`);
  });
}

/** One entry's declarations as one file. It sees a web page's types alone, as its users do. */
async function rollUp(source: string, file: string): Promise<void> {
  const { Extractor, ExtractorConfig, ExtractorLogLevel } = await import('@microsoft/api-extractor'); // here: it takes its time to load
  const entry = join(parts, relative(join(here, 'src'), source).replace(/\.ts$/, '.d.ts'));
  const compilerOptions = {
    target: 'ES2022',
    lib: ['ES2022', 'DOM'],
    module: 'ESNext',
    moduleResolution: 'bundler',
    strict: true,
    skipLibCheck: true,
    types: [],
  };
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: here,
      mainEntryPointFilePath: entry,
      compiler: { overrideTsconfig: { compilerOptions, files: [entry] } },
      dtsRollup: { enabled: true, untrimmedFilePath: file },
      apiReport: { enabled: false },
      docModel: { enabled: false },
      tsdocMetadata: { enabled: false },
      newlineKind: 'lf',
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.Error },
          'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None },
          'ae-forgotten-export': { logLevel: ExtractorLogLevel.None }, // what public types mention alone stays without a name of its own
        },
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(here, 'package.json'),
  });
  const problems: string[] = [];
  const { succeeded } = Extractor.invoke(config, {
    messageCallback(message) {
      if (message.logLevel === ExtractorLogLevel.Error) problems.push(message.formatMessageWithLocation(here));
      message.handled = true;
    },
  });
  // API Extractor leaves out what an entry adds to the global scope
  const added = /^declare global \{[\s\S]*?^\}/m.exec(readFileSync(entry, 'utf8'));
  if (added) appendFileSync(file, `\n${added[0]}\n`);
  if (!succeeded || problems.length)
    throw new Error(`The types of ${relative(here, source)} cannot be rolled up:\n${problems.join('\n')}`);
}
