// @module-tag chromium
/**
 * The examples of docs/frameworks.md: compiled, opened in Chromium, asked. Those of React are also type-checked and
 * rendered as a server does.
 */
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';
import type { Browser } from 'playwright';
import { compile as compileSvelte } from 'svelte/compiler';
import ts from 'typescript-5.6';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compileScript, parse } from 'vue/compiler-sfc';
import { installPackage, runOffline } from './fixtures/install_package';
import { launchChromium } from './harness';
import { serveSite } from './site';

const root = resolve(import.meta.dirname, '..');
const text = readFileSync(join(root, 'docs/frameworks.md'), 'utf8');
const [react, vue, svelte] = ['tsx', 'vue', 'svelte'].map((kind) =>
  [...text.matchAll(new RegExp(`\`\`\`${kind}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, code]) => code),
);
const [corner] = [...text.matchAll(/```html\n([\s\S]*?)```/g)].map(([, code]) => code);
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'rivulet-frameworks-')));
let installed: string;
let browser: Browser;

beforeAll(async () => {
  ({ installed } = await installPackage(folder));
  for (const name of ['react', 'react-dom', 'vue', 'svelte', '@types'])
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name), 'dir');
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  react.forEach((code, i) => writeFileSync(join(folder, `react_${i}.tsx`), code));
  vue.forEach((code, i) => writeFileSync(join(folder, `vue_${i}.vue`), code));
  svelte.forEach((code, i) => writeFileSync(join(folder, `svelte_${i}.svelte`), code));
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What the plugins of Vue and Svelte for bundlers do, for one component. */
const components: Plugin = {
  name: 'components',
  setup({ onLoad }) {
    onLoad({ filter: /\.vue$/ }, ({ path }) => {
      const compilerOptions = { isCustomElement: (tag: string) => tag === 'rivulet-chat' };
      const { descriptor, errors } = parse(readFileSync(path, 'utf8'), {
        filename: path,
        templateParseOptions: compilerOptions,
      });
      if (errors.length) throw errors[0];
      const { content } = compileScript(descriptor, {
        id: 'example',
        inlineTemplate: true,
        templateOptions: { compilerOptions },
      });
      return { contents: content, loader: 'ts' };
    });
    onLoad({ filter: /\.svelte$/ }, ({ path }) => {
      const { js, warnings } = compileSvelte(readFileSync(path, 'utf8'), { filename: path, generate: 'client' });
      expect(warnings.map(({ message }) => message)).toEqual([]);
      return { contents: js.code, loader: 'js' };
    });
  },
};

async function bundle(main: string, outfile: string, options: BuildOptions = {}): Promise<void> {
  writeFileSync(join(folder, 'main.tsx'), main);
  const { errors, warnings } = await build({
    entryPoints: [join(folder, 'main.tsx')],
    bundle: true,
    format: 'esm',
    jsx: 'automatic',
    outfile,
    plugins: [components],
    conditions: ['browser'],
    define: {
      'process.env.NODE_ENV': '"development"',
      __VUE_OPTIONS_API__: 'true',
      __VUE_PROD_DEVTOOLS__: 'false',
      __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false',
    },
    logLevel: 'silent',
    ...options,
  });
  expect([...errors, ...warnings].map((problem) => problem.text)).toEqual([]);
}

/**
 * Opens a project of this main file, or this body beside the scripts of the package. @returns what `act` finds in the
 * page
 */
async function open<T>(
  name: string,
  {
    main,
    body = '<div id="app"></div><script type="module" src="main.js"></script>',
  }: { main?: string; body?: string },
  act: (page: Awaited<ReturnType<Browser['newPage']>>) => Promise<T>,
): Promise<T> {
  const out = join(folder, `out ${name}`);
  mkdirSync(out);
  cpSync(join(installed, 'dist/models'), join(out, 'models'), { recursive: true });
  if (main) await bundle(main, join(out, 'main.js'));
  else
    for (const script of ['rivulet.js', 'rivulet-element.js'])
      copyFileSync(join(installed, 'dist', script), join(out, script));
  writeFileSync(
    join(out, 'index.html'),
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Example</title><link rel="icon" href="data:,"></head><body>${body}</body></html>`,
  );
  const site = await serveSite({ root: out, isolated: false });
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => /error|warning/.test(message.type()) && problems.push(message.text()));
  try {
    await page.goto(site.url);
    const found = await act(page);
    expect(problems).toEqual([]);
    return found;
  } finally {
    await page.close();
    await site.close();
  }
}

/** The main file that mounts a component. */
const mounts: Record<string, (i: number) => string> = {
  React: (i) => `
    import { StrictMode } from 'react';
    import { createRoot } from 'react-dom/client';
    import { ${['Ask', 'Assistant'][i]} as Example } from './react_${i}';
    createRoot(document.getElementById('app')!).render(<StrictMode><Example /></StrictMode>);`,
  Vue: (i) => `
    import { createApp } from 'vue';
    import Example from './vue_${i}.vue';
    createApp(Example).mount('#app');`,
  Svelte: (i) => `
    import { mount } from 'svelte';
    import Example from './svelte_${i}.svelte';
    mount(Example, { target: document.getElementById('app') });`,
};

test('each framework has an example of the library and one of the element', () => {
  expect([react.length, vue.length, svelte.length]).toEqual([2, 2, 2]);
});

test.each(Object.keys(mounts))('%s: a component answers', async (name) => {
  const answer = await open(`${name} library`, { main: mounts[name](0) }, async (page) => {
    await page.getByRole('textbox', { name: 'Question' }).fill('Hello!');
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.waitForFunction(() => /[.!?]$/.test(document.querySelector('output')!.textContent.trim()), undefined, {
      timeout: 120_000,
    });
    return page.locator('output').innerText();
  });
  expect(answer).not.toMatch(/Error|wanted/);
});

test.each(Object.keys(mounts))('%s: the element answers and calls a tool', async (name) => {
  const calls = await open(`${name} element`, { main: mounts[name](1) }, async (page) => {
    await page.waitForFunction(() => document.querySelector('rivulet-chat')?.tools.length === 1);
    expect(
      await page.evaluate(() => document.querySelector('rivulet-chat')!.send('Set a timer for 10 minutes')),
    ).toMatch(/10 minutes/);
    return page.evaluate(() =>
      [...document.querySelector('rivulet-chat')!.shadowRoot!.querySelectorAll('.call')].map(
        (call) => call.textContent,
      ),
    );
  });
  expect(calls).toEqual(['set_timer(minutes: 10) → ok']);
});

test('a button in a corner opens the chat, which answers, and closes it', async () => {
  const sizes = await open('corner', { body: corner }, async (page) => {
    await page.setViewportSize({ width: 390, height: 844 });
    const chat = page.locator('rivulet-chat');
    expect(await chat.isVisible()).toBe(false);
    await page.getByRole('button', { name: 'Chat' }).click();
    await chat.getByRole('textbox', { name: 'Message' }).fill('Hello!');
    await page.keyboard.press('Enter');
    await page.waitForFunction(
      () => document.querySelector('rivulet-chat')!.shadowRoot!.querySelector('.reply')?.textContent?.trim(),
      undefined,
      { timeout: 120_000 },
    );
    const box = (await chat.boundingBox())!;
    await page.getByRole('button', { name: 'Chat' }).click();
    expect(await chat.isVisible()).toBe(false);
    return box;
  });
  expect(sizes.x).toBeGreaterThanOrEqual(0);
  expect(sizes.y).toBeGreaterThanOrEqual(0);
  expect(sizes.x + sizes.width).toBeLessThanOrEqual(390);
  expect(sizes.y + sizes.height).toBeLessThanOrEqual(844);
});

test('the examples of React have no error of types', () => {
  const names = react.map((_, i) => join(folder, `react_${i}.tsx`));
  const program = ts.createProgram(names, {
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    jsx: ts.JsxEmit.ReactJSX,
    types: [],
    strict: true,
    skipLibCheck: true, // React's own types
    noEmit: true,
    preserveSymlinks: true,
  });
  expect(
    ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')),
  ).toEqual([]);
});

test('a server renders the examples of React', async () => {
  const out = join(folder, 'server.mjs');
  const main = `
    import { renderToString } from 'react-dom/server';
    import { Ask } from './react_0';
    import { Assistant } from './react_1';
    console.log(renderToString(<><Ask /><Assistant /></>));`;
  await bundle(main, out, {
    platform: 'node',
    conditions: [],
    external: ['rivulet', 'rivulet/element', 'react', 'react-dom/server'],
  });
  const html = await runOffline(folder, process.execPath, out);
  expect(html).toContain('<output></output>');
  expect(html).toMatch(/<rivulet-chat model="\.\/models\/rivulet-tiny\.gguf" label="Assistant"/);
});
