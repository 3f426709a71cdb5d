// @module-tag chromium
/**
 * The packed package in projects of others: built with Vite, webpack and esbuild, as plain modules, and imported in
 * Node. Each project loads the demo model and answers.
 */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build as buildWithEsbuild } from 'esbuild';
import type { Browser } from 'playwright';
import { build as buildWithVite } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import webpack from 'webpack';
import { installPackage, runOffline } from './fixtures/install_package';
import { launchChromium } from './harness';
import { serveSite } from './site';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'rivulet-fixtures-'))); // bundlers compare real paths
const main = join(folder, 'main.js');
let installed: string;
let browser: Browser;

beforeAll(async () => {
  ({ installed } = await installPackage(folder));
  copyFileSync(join(import.meta.dirname, 'fixtures/main.js'), main);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A project's page. Every host has the model beside it. */
function writePage(out: string, head: string): void {
  cpSync(join(installed, 'dist/models'), join(out, 'models'), { recursive: true });
  const body = '<rivulet-chat model="./models/rivulet-tiny.gguf"></rivulet-chat><output></output>';
  writeFileSync(
    join(out, 'index.html'),
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Project</title><link rel="icon" href="data:,">${head}</head><body>${body}</body></html>`,
  );
}

const projects: Record<string, (out: string) => Promise<unknown>> = {
  async Vite(out) {
    writePage(folder, '<script type="module" src="/main.js"></script>');
    const warnings: string[] = [];
    await buildWithVite({
      root: folder,
      base: './',
      configFile: false,
      logLevel: 'silent',
      build: {
        outDir: out,
        emptyOutDir: false,
        minify: false,
        chunkSizeWarningLimit: 1024,
        rolldownOptions: { onwarn: ({ message }) => void warnings.push(message) },
      },
    });
    cpSync(join(folder, 'models'), join(out, 'models'), { recursive: true }); // what Vite copies from public/
    return warnings;
  },
  async 'webpack 5'(out) {
    writePage(out, '<script defer src="main.js"></script>');
    const compiler = webpack({
      mode: 'production',
      context: folder,
      entry: main,
      output: { path: out, filename: 'main.js' },
      optimization: { minimize: false },
      performance: false,
    })!;
    const stats = await new Promise<webpack.Stats>((done, failed) =>
      compiler.run((error, result) => (error ? failed(error) : done(result!))),
    );
    await new Promise((closed) => compiler.close(closed));
    const { errors = [], warnings = [] } = stats.toJson({ all: false, errors: true, warnings: true });
    return [...errors, ...warnings].map(({ message }) => message);
  },
  async esbuild(out) {
    writePage(out, '<script type="module" src="main.js"></script>');
    const { errors, warnings } = await buildWithEsbuild({
      entryPoints: [main],
      bundle: true,
      format: 'esm',
      outfile: join(out, 'main.js'),
      logLevel: 'silent',
    });
    return [...errors, ...warnings].map(({ text }) => text);
  },
  async 'plain modules'(out) {
    const imports = { rivulet: './rivulet.mjs', 'rivulet/element': './rivulet-element.mjs' };
    writePage(
      out,
      `<script type="importmap">${JSON.stringify({ imports })}</script><script type="module" src="main.js"></script>`,
    );
    for (const name of [...Object.values(imports), './rivulet-tools.mjs'])
      copyFileSync(join(installed, 'dist', name), join(out, name));
    copyFileSync(main, join(out, 'main.js'));
    return [];
  },
};

test.each(Object.keys(projects))('%s: the library and the element answer, and nobody else is asked', async (name) => {
  const out = join(folder, `out ${name}`);
  mkdirSync(out);
  expect(await projects[name](out)).toEqual([]);
  const site = await serveSite({ base: '/a project/', isolated: false, root: out });
  const page = await browser.newPage();
  try {
    const problems: string[] = [];
    const foreign: string[] = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => /error|warning/.test(message.type()) && problems.push(message.text()));
    page
      .context()
      .on(
        'request',
        (request) =>
          void (
            /^(?:blob|data):/.test(request.url()) ||
            new URL(request.url()).origin === new URL(site.url).origin ||
            foreign.push(request.url())
          ),
      );
    await page.goto(site.url);
    await page.waitForFunction(() => document.querySelector('output')!.value, undefined, { timeout: 120_000 });
    const told = await page.evaluate(() => document.querySelector('output')!.value);
    expect(JSON.parse(told)).toEqual({
      library: expect.stringMatching(/\w/),
      fits: true,
      element: expect.stringMatching(/\w/),
      defined: true,
    });
    expect(site.asked).toContain('/a project/models/rivulet-tiny.gguf');
    expect({ problems, foreign }).toEqual({ problems: [], foreign: [] });
  } finally {
    await page.close();
    await site.close();
  }
});

test('Node, as a server that renders pages, imports both, and load says what it needs', async () => {
  const script = `
    import { load, readCalls } from 'rivulet';
    import { RivuletChat } from 'rivulet/element';
    const { name, message } = await load('./model.gguf').catch((error) => error);
    console.log(JSON.stringify({ kinds: [typeof readCalls, typeof RivuletChat], name, message }));`;
  writeFileSync(join(folder, 'server.mjs'), script);
  const { kinds, name, message } = JSON.parse(await runOffline(folder, process.execPath, 'server.mjs')) as {
    kinds: string[];
    name: string;
    message: string;
  };
  expect(kinds).toEqual(['function', 'function']);
  expect(name).toBe('DeviceError');
  expect(message).toMatch(/The worker did not start/);
  const required = "const { load } = require('rivulet'); require('rivulet/element'); console.log(typeof load)";
  writeFileSync(join(folder, 'server.cjs'), required);
  expect((await runOffline(folder, process.execPath, 'server.cjs')).trim()).toBe('function');
});
