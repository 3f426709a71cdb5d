// @module-tag chromium
/**
 * The frame of the chat page as built: the side bar with its focus, the panel in the header, and small windows.
 */
import type { Page } from 'playwright';
import { describe, expect, test } from 'vitest';
import { loadAxe, objections, soon, testChat, visitPage } from './chat_page';

const chat = testChat({ viewport: { width: 390, height: 844 } });
const focused = (page: Page): Promise<string> => page.evaluate(() => document.activeElement?.id ?? '');

test.each([
  { width: 390, height: 844 },
  { width: 360, height: 740 },
])('on a phone the first run shows the recommended model above the message field: %o', async (viewport) => {
  const phone = await chat.browser.newContext({
    viewport,
    hasTouch: true,
    isMobile: true,
  });
  try {
    const page = await visitPage(`${chat.site.url}?backend=wasm`, phone);
    await page.waitForSelector('#first-run-offer .primary:visible');
    const room = (selector: string): Promise<number> =>
      page.evaluate(
        (part) =>
          document.querySelector('footer')!.getBoundingClientRect().top -
          document.querySelector(part)!.getBoundingClientRect().bottom,
        selector,
      );
    await soon(() => room('#first-run-offer .primary')).toBeGreaterThan(0);
    await soon(() => room('#first-run-offer small')).toBeGreaterThan(0);
    await soon(() =>
      page.evaluate(() => innerHeight - document.querySelector('#send')!.getBoundingClientRect().bottom),
    ).toBeGreaterThan(0);
    // and its title below the header
    await soon(() =>
      page.evaluate(
        () =>
          document.querySelector('#first-run h2')!.getBoundingClientRect().top -
          document.querySelector('header')!.getBoundingClientRect().bottom,
      ),
    ).toBeGreaterThanOrEqual(0);
  } finally {
    await phone.close();
  }
});

describe('the side bar', () => {
  test('a first visit offers no export and no way to a latest message', async () => {
    const page = await chat.visit();
    await page.setViewportSize({ width: 390, height: 300 });
    await page.waitForFunction(() => document.documentElement.scrollHeight - innerHeight > 240);
    // the resize has been seen
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    expect(await page.isHidden('#to-latest')).toBe(true);
    await page.click('#sidebar-toggle');
    await page.waitForSelector('#sidebar:popover-open');
    const actions = page.locator('.conversation-tools button:visible');
    expect(await actions.allInnerTexts()).toEqual(['Import']);
    await page.keyboard.press('Escape');
    await page.fill('#prompt', 'Hello!');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('.assistant:not([aria-busy])');
    await page.click('#sidebar-toggle');
    await soon(() => actions.allInnerTexts()).toEqual(['Import', 'Export all']);
  });

  test('on a phone: a drawer that takes the focus, keeps it, and gives it back', async () => {
    const page = await chat.visit();
    const toggle = page.locator('#sidebar-toggle');
    const expanded = (): Promise<string | null> => toggle.getAttribute('aria-expanded');
    expect([await expanded(), await page.isVisible('#sidebar')]).toEqual(['false', false]);
    await toggle.focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('#sidebar:popover-open');
    await soon(() => focused(page)).toBe('sidebar-close');
    await page.waitForFunction(() => document.getElementById('sidebar-toggle')?.ariaExpanded === 'true');
    // all of it is reached, and nothing behind it
    const seen = new Set<string>();
    for (let i = 0; i < 14; i++) {
      await page.keyboard.press('Tab');
      seen.add(
        await page.evaluate(() =>
          document.activeElement?.closest('#page')
            ? 'behind'
            : document.activeElement?.id || document.activeElement?.textContent?.trim() || '',
        ),
      );
    }
    expect(seen).not.toContain('behind');
    expect([...seen]).toEqual(
      expect.arrayContaining(['new-chat', 'conversation-search', 'Notes, tasks and timers', 'Settings']),
    );
    await loadAxe(page);
    expect(await objections(page, '#sidebar')).toEqual([]);
    await page.keyboard.press('Escape');
    await page.waitForSelector('#sidebar', { state: 'hidden' });
    await page.waitForFunction(() => document.activeElement?.id === 'sidebar-toggle');
    await soon(() => expanded()).toBe('false');

    await toggle.click();
    await page.mouse.click(380, 400); // beside it
    await page.waitForSelector('#sidebar', { state: 'hidden' });
    await toggle.click();
    await page.click('#new-chat');
    await page.waitForSelector('#sidebar', { state: 'hidden' });
    await soon(() => focused(page)).toBe('prompt');
    await toggle.click();
    await page.click('#sidebar [data-opens=open-notes]');
    await page.waitForSelector('#notes[open]');
    await page.waitForSelector('#sidebar', { state: 'hidden' });
    await page.keyboard.press('Escape');
    await page.fill('#prompt', 'still there');
  });

  test('on a wide screen: the first column, which can be hidden and stays so', async () => {
    const page = await chat.visit('?backend=wasm', { width: 1440, height: 900 });
    const toggle = page.locator('#sidebar-toggle');
    expect([await toggle.getAttribute('aria-expanded'), await page.isVisible('#new-chat')]).toEqual(['true', true]);
    await toggle.click();
    expect([await toggle.getAttribute('aria-expanded'), await page.isVisible('#new-chat')]).toEqual(['false', false]);
    await page.reload();
    await soon(() => page.isVisible('#new-chat')).toBe(false);
    // the window gets narrow, and wide again
    await page.setViewportSize({ width: 600, height: 800 });
    await toggle.click();
    await page.waitForSelector('#sidebar:popover-open');
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.waitForSelector('#sidebar', { state: 'hidden' });
    await toggle.click();
    await page.click('#sidebar [data-opens=choose]');
    await page.waitForSelector('#models[open]');
  });
});

test('the panel about the model opens under its word, and closes by Escape and by a press beside it', async () => {
  const page = await chat.visit();
  await page.click('#about summary');
  await soon(() => page.innerText('#about-model')).toMatch(
    /^Rivulet tiny, 6\.3\sMB\. It reads up to [\d,]+ tokens of a conversation\.$/,
  );
  await soon(() => page.innerText('#about-technical')).toMatch(/Kernels: /);
  await soon(() => page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  await page.keyboard.press('Escape');
  await soon(() => page.isVisible('#about-model')).toBe(false);
  await page.click('#about summary');
  await page.click('#prompt');
  await soon(() => page.isVisible('#about-model')).toBe(false);
});

test('nothing is cut off sideways at any size, and the conversation has two thirds of the height', async () => {
  const page = await chat.visit();
  for (const [width, height] of [
    [320, 640],
    [390, 844],
    [844, 390],
    [1024, 768],
    [1440, 900],
  ]) {
    const size = `${width} × ${height}`;
    await page.setViewportSize({ width, height });
    await expect.poll(() => page.evaluate(() => [innerWidth, innerHeight])).toEqual([width, height]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth), size).toBeLessThanOrEqual(width);
    const taken = await page.evaluate(() => {
      const header = document.querySelector('header') as HTMLElement;
      const stays = getComputedStyle(header).position === 'sticky' ? header.getBoundingClientRect().height : 0;
      return stays + (document.querySelector('footer')?.getBoundingClientRect().height ?? 0);
    });
    expect(taken, size).toBeLessThan(height / 3);
    const small = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>('button, input, textarea, summary, a')]
        .filter((each) => each.checkVisibility() && !each.classList.contains('skip'))
        .map((each) => ({ id: each.id || each.outerHTML.slice(0, 80), box: each.getBoundingClientRect() }))
        .filter(({ box }) => box.width < 24 || box.height < 24)
        .map(({ id }) => id),
    );
    expect(small, size).toEqual([]);
  }
});
