#!/usr/bin/env bash
# vite 8.3.8, `?worker&inline`, in <iframe sandbox="allow-scripts"> of Chromium 156.0.8078.108 (headless, Linux).
#
# Expected: the inlined worker starts, as it does outside the frame. vite first tries a blob and falls back to a data: URL in a catch block.
# Seen: with `worker.format: 'es'` the worker never starts. Chromium refuses a module worker from a blob in a frame with an opaque origin, and tells it by
# an error event without a message, not by an exception, so vite's fallback is never reached. With `worker.format: 'iife'` (a classic worker) it answers.
# Libraries that inline their engine's worker this way do not run in sandboxed frames (previews, embeds, notebooks).
#
# Needs Node 20, npm and a Chromium ($CHROMIUM, or chromium in the path). Exits with 1 if the behaviour changes, with 2 if Chromium is missing.
set -euo pipefail
browser=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
[ -n "$browser" ] || { echo 'No Chromium was found. Set CHROMIUM to its path.' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund vite@8.3.8 playwright-core@1.65.1
mkdir page
echo "postMessage('answers');" >page/worker.js
cat >page/main.js <<'JS'
import Inlined from './worker.js?worker&inline';
const worker = new Inlined();
const tell = (text) => parent.postMessage(text, '*');
worker.onmessage = ({ data }) => tell(data);
worker.onerror = ({ message }) => tell(`error event, message ${message}`);
JS
cat >run.mjs <<'JS'
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { build } from 'vite';

const outcome = {};
for (const format of ['es', 'iife']) {
  await build({ configFile: false, logLevel: 'silent', worker: { format }, build: { outDir: `out-${format}`, lib: { entry: 'page/main.js', formats: ['iife'], name: 'page', fileName: () => 'main.js' } } });
  const pages = {
    '/': ['text/html', '<iframe sandbox="allow-scripts" src="/frame"></iframe><script>addEventListener("message", ({ data }) => (document.title = data))</script>'],
    '/frame': ['text/html', '<script src="/main.js"></script>'],
    '/main.js': ['text/javascript', readFileSync(`out-${format}/main.js`)],
  };
  const server = createServer(({ url }, response) => {
    const [type, body] = pages[url] ?? ['text/plain', ''];
    response.writeHead(200, { 'Content-Type': type }).end(body);
  }).listen(0, '127.0.0.1');
  const browser = await chromium.launch({ executablePath: process.argv[2], args: ['--no-sandbox'] });
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => document.title, undefined, { timeout: 20_000 });
  outcome[format] = await page.title();
  console.log(`Chromium ${browser.version()}, worker.format '${format}': ${outcome[format]}`);
  await browser.close();
  server.close();
}
process.exit(outcome.es.startsWith('error event') && outcome.iife === 'answers' ? 0 : 1);
JS
node run.mjs "$browser"
