/**
 * What the browser tests need from the system: how each part is found, how it is installed, what is skipped without it.
 * The names are Vitest tags. A test or suite says `{ tags: 'firefox' }`, a whole file `// @module-tag chromium`;
 * e2e/setup.ts skips the tags of absent parts.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

export interface Part {
  name: string;
  /** what is skipped without it */
  use: string;
  /** a path that proves it present */
  find(): string | undefined;
  /** Debian packages */
  packages: string[];
  /** the other way to get it, after "apt-get install …, or" */
  otherwise?: string;
}

const linux = process.platform === 'linux';
const first = (paths: (string | undefined)[]): string | undefined => paths.find((path) => path && existsSync(path));

/** The path in a variable, which must exist, else the first of the places that does. */
function place(variable: string, places: string[]): string | undefined {
  const named = process.env[variable];
  if (!named) return first(places);
  if (existsSync(named)) return named;
  throw new Error(`$${variable} is ${named}, which does not exist. Set it to an existing path, or unset it.`);
}

function playwrightChromium(): string {
  try {
    const { chromium } = createRequire(import.meta.url)('playwright') as typeof import('playwright');
    return chromium.executablePath();
  } catch {
    return '';
  }
}

const presentChromium = (): string | undefined =>
  place('CHROMIUM', [
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
    '/usr/bin/google-chrome-stable',
    '/snap/bin/chromium',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    `${homedir()}/Applications/Google Chrome.app/Contents/MacOS/Google Chrome`,
    'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
    'C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe',
    playwrightChromium(),
  ]);

/** $FIREFOX or the usual places. */
export const findFirefox = (): string | undefined =>
  place('FIREFOX', [
    '/usr/bin/firefox-esr',
    '/usr/bin/firefox',
    '/snap/bin/firefox',
    '/Applications/Firefox.app/Contents/MacOS/firefox',
    'C:\\Program Files\\Mozilla Firefox\\firefox.exe',
  ]);

/** The WebDriver of WebKitGTK, its browser and a display server; undefined unless all three are there. */
export function findWebKit(): { driver: string; browser: string; display: string } | undefined {
  const [driver, display, libraries] = ['/usr/bin/WebKitWebDriver', '/usr/bin/Xvfb', '/usr/lib'];
  if (!existsSync(driver) || !existsSync(display)) return undefined;
  // the browser lies under the machine's architecture, /usr/lib/x86_64-linux-gnu
  const browser = first(readdirSync(libraries).map((folder) => `${libraries}/${folder}/webkit2gtk-4.1/MiniBrowser`));
  return browser ? { driver, browser, display } : undefined;
}

/**
 * The Vulkan loader, by the same search as the programs that open it: Node then refuses it as an addon, with another
 * message than for an absent file.
 */
function findVulkanLoader(): string | undefined {
  if (!linux) return 'part of the system';
  const library = 'libvulkan.so.1';
  try {
    process.dlopen({ exports: {} }, library);
  } catch (error) {
    if (/cannot open shared object file/.test(String(error))) return undefined;
  }
  return library;
}

/** A Vulkan driver that the loader finds by itself: Mesa's computes on the CPU. */
function findVulkanDriver(): string | undefined {
  if (!linux) return 'part of the system';
  const folders = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d'].filter((folder) =>
    existsSync(folder),
  );
  return place(
    'VK_DRIVER_FILES',
    folders
      .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
      .filter((path) => path.endsWith('.json')),
  );
}

/** SwiftShader as Chromium and Chrome bring it along, or the driver that is named. */
export function findSwiftShader(): string | undefined {
  const chromium = presentChromium();
  const folders = ['/usr/lib/chromium', '/opt/google/chrome', ...(chromium ? [dirname(chromium)] : [])];
  return place(
    'VK_DRIVER_FILES',
    folders.map((folder) => join(folder, 'vk_swiftshader_icd.json')),
  );
}

export const PARTS = {
  chromium: {
    name: 'Chromium',
    use: 'nearly all browser tests',
    find: presentChromium,
    packages: ['chromium'],
    otherwise: 'npx playwright install --with-deps chromium, or set CHROMIUM to the executable of a Chromium or Chrome',
  },
  firefox: {
    name: 'Firefox',
    use: 'the tests in Firefox',
    find: findFirefox,
    packages: ['firefox-esr'],
    otherwise: 'set FIREFOX to its executable',
  },
  webkit: {
    name: 'WebKitGTK with its WebDriver, and Xvfb',
    use: 'the tests in WebKit',
    find: () => findWebKit()?.driver,
    packages: ['webkit2gtk-driver', 'xvfb'],
  },
  vulkan: {
    name: 'the Vulkan loader (libvulkan.so.1)',
    use: 'WebGPU in Firefox and on Dawn',
    find: findVulkanLoader,
    packages: ['libvulkan1'],
  },
  driver: {
    name: 'a Vulkan driver',
    use: 'WebGPU in Firefox',
    find: findVulkanDriver,
    packages: ['mesa-vulkan-drivers'],
    otherwise: 'set VK_DRIVER_FILES to the JSON file of one',
  },
  swiftshader: {
    name: 'SwiftShader, which is part of Chromium',
    use: 'the benchmark on Dawn',
    find: findSwiftShader,
    packages: ['chromium'],
    otherwise: 'set VK_DRIVER_FILES to the JSON file of a driver that computes on the CPU',
  },
} satisfies Record<string, Part>;

export type PartName = keyof typeof PARTS;
const NAMES = Object.keys(PARTS) as PartName[];

/** What WebGPU in Firefox needs. */
export const FIREFOX_WEBGPU: { tags: PartName[] } = { tags: ['firefox', 'vulkan', 'driver'] };

export const absent = (names: PartName[] = NAMES): PartName[] => names.filter((name) => !PARTS[name].find());

export const cure = ({ packages, otherwise }: Part): string =>
  [`apt-get install ${packages.join(' ')}`, otherwise].filter(Boolean).join(', or ');

/** `tags` of Vitest. */
export const tags = NAMES.map((name) => ({ name, description: PARTS[name].name }));

const MINUTE = 60_000;

/** Whether the command succeeded; its first errors are shown where it did not. */
function succeeds(command: string, args: string[], limit: number): boolean {
  try {
    execFileSync(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: limit,
      maxBuffer: 1 << 28,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT: '15000' },
    });
    return true;
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: string; stdout?: Buffer; stderr?: Buffer };
    const said = `${stderr ?? ''}\n${stdout ?? ''}`
      .split('\n')
      .filter((line) => /^E:|error|fail/i.test(line))
      .slice(0, 3);
    const why =
      code === 'ETIMEDOUT' ? [`it did not end within ${limit / MINUTE} minutes`] : said.length ? said : [String(error)];
    console.error(`${command} ${args.filter((arg) => !/^-|=/.test(arg)).join(' ')} failed:\n  ${why.join('\n  ')}`);
    return false;
  }
}

/**
 * Installs what is absent: as root with apt-get, else, or where that has no Chromium, Chromium through Playwright.
 * Every attempt has a time limit. RIVULET_INSTALL=no turns it off; so does a failure, for the processes that this one
 * starts.
 */
export function install(names: PartName[] = NAMES): void {
  const missing = absent(names);
  if (!missing.length || process.env.RIVULET_INSTALL === 'no') return;
  const root = process.getuid?.() === 0;
  if (root && existsSync('/usr/bin/apt-get')) {
    const options = [
      '-o',
      'Acquire::Retries=1',
      '-o',
      'Acquire::http::Timeout=20',
      '-o',
      'Acquire::https::Timeout=20',
      '-o',
      'DPkg::Lock::Timeout=60',
    ];
    const groups = [...new Set(missing.map((name) => PARTS[name].packages.join(' ')))].map((group) => group.split(' '));
    const add = (packages: string[]): boolean =>
      succeeds('apt-get', ['install', '-y', '--no-install-recommends', ...options, ...packages], 10 * MINUTE);
    console.error(
      `Not installed: ${missing.map((name) => PARTS[name].name).join('; ')}. Installing with apt-get: ${groups.flat().join(' ')}`,
    );
    // without Error-Mode, lists that cannot be fetched are no failure; old ones may still do
    const updated = succeeds('apt-get', ['update', ...options, '-o', 'APT::Update::Error-Mode=any'], MINUTE);
    // a package that is absent from this distribution must not keep the others away
    if (!add(groups.flat()) && updated && groups.length > 1) for (const group of groups) add(group);
  }
  if (absent(['chromium']).some((name) => missing.includes(name))) {
    console.error('Chromium is not installed. Installing it with Playwright.');
    const cli = join(dirname(createRequire(import.meta.url).resolve('playwright/package.json')), 'cli.js');
    // --with-deps asks for a password where this process is not root
    succeeds(process.execPath, [cli, 'install', ...(root ? ['--with-deps'] : []), 'chromium'], 5 * MINUTE);
  }
  if (absent(missing).length) process.env.RIVULET_INSTALL = 'no';
}

/** $CHROMIUM, the usual places, Playwright's own; installs one where there is none. */
export function findChromium(): string {
  const found = presentChromium();
  if (found) return found;
  install(['chromium']);
  const installed = presentChromium();
  if (installed) return installed;
  throw new Error(
    `No Chromium was found at $CHROMIUM, the usual places and Playwright’s, and none could be installed. Get one: ${cure(PARTS.chromium)}. Then run this again.`,
  );
}
