/**
 * One folder that runs the benchmark of e2e/dawn on a bare Linux machine with a GPU driver: this Node, Dawn, the Vulkan
 * loader, the built benchmark and the miniature model, what is large compressed. Needs nothing there but tar, a shell,
 * and xz or python3.
 *
 *   npm run pack:dawn [-- --out dist/rivulet-dawn]      then there:  ./run.sh --suite --json > all.jsonl
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startTool, text } from './options';

const MOST_BYTES = 64 * 2 ** 20;
const LOADERS = [
  '/usr/lib/x86_64-linux-gnu/libvulkan.so.1',
  '/usr/lib/aarch64-linux-gnu/libvulkan.so.1',
  '/usr/lib64/libvulkan.so.1',
  '/usr/lib/libvulkan.so.1',
];

const RUN = `#!/bin/sh
# Unpacks once, then runs the benchmark: ./run.sh --suite --json > all.jsonl, or ./run.sh --random 350m --quant q4_0 --profile
# VK_DRIVER_FILES names a driver where the loader does not find it; UNPACK a folder to unpack into.
set -e
PATH=\${PATH:-/usr/local/bin:/usr/bin:/bin}
here=$(cd "$(dirname "$0")" && pwd)
there=\${UNPACK:-\${TMPDIR:-/tmp}/rivulet-dawn}
stamp=$(cksum < "$here/payload.tar.xz")
if [ "$(cat "$there/stamp" 2>/dev/null)" != "$stamp" ]; then
  rm -rf "$there"
  mkdir -p "$there"
  if command -v xz >/dev/null; then xz -dc "$here/payload.tar.xz"
  else python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$here/payload.tar.xz"
  fi | tar -xf - -C "$there"
  echo "$stamp" > "$there/stamp"
fi
also() { if [ -d "$1" ]; then export LD_LIBRARY_PATH="\${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$1"; fi; }
seen() {
  for directory in $(echo "$LD_LIBRARY_PATH" | tr : ' '); do if [ -e "$directory/$1" ]; then return 0; fi; done
  PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q "$1"
}
# containers may have NVIDIA's libraries where the linker does not look
also /usr/local/nvidia/lib64
also /usr/local/nvidia/lib
# the loader that came along is for machines that have none
seen libvulkan.so.1 || also "$there/lib"
if [ -z "$VK_DRIVER_FILES$VK_ICD_FILENAMES" ]; then
  drivers= library=
  apart=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
  if [ -f $apart ]; then drivers=$apart
  elif [ ! -f /etc/vulkan/icd.d/nvidia_icd.json ] && [ ! -f /usr/share/vulkan/icd.d/nvidia_icd.json ] && seen libGLX_nvidia.so.0; then library=libGLX_nvidia.so.0
  fi
  # NVIDIA's usual driver library wants X11, its EGL library offers the same without
  if seen libEGL_nvidia.so.0 && ! { seen libX11.so.6 && seen libXext.so.6; }; then library=libEGL_nvidia.so.0; fi
  if [ -n "$library" ]; then
    echo "{\\"file_format_version\\": \\"1.0.0\\", \\"ICD\\": {\\"library_path\\": \\"$library\\", \\"api_version\\": \\"1.3.0\\"}}" > "$there/nvidia_icd.json"
    drivers="\${drivers:+$drivers:}$there/nvidia_icd.json"
  fi
  if [ -n "$drivers" ]; then export VK_DRIVER_FILES="$drivers" VK_ICD_FILENAMES="$drivers"; fi
fi
if command -v nvidia-smi >/dev/null; then nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.memory,clocks.max.sm,power.limit --format=csv,noheader >&2 || true; fi
case " $* " in *" --model "* | *" --random "* | *" --conformance "* | *" --suite "*) ;; *) set -- --model "$here/rivulet-tiny.gguf" --check "$@" ;; esac
XDG_RUNTIME_DIR=\${XDG_RUNTIME_DIR:-$there} exec "$there/node" "$there/bench.mjs" "$@"
`;

const values = startTool(
  'npm run pack:dawn --',
  'Makes one folder that runs the WebGPU benchmark on a bare Linux machine.',
  {
    out: text('PATH', 'the folder to make', 'dist/rivulet-dawn'),
  },
);
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const out = resolve(root, values.out);
const dawn = dirname(createRequire(import.meta.url).resolve('webgpu'));
const platform = join(dawn, 'dist', `linux-${process.arch}`);
const loader = LOADERS.find(existsSync);
if (process.platform !== 'linux' || !existsSync(platform))
  throw new Error('This tool works on Linux only, on the kind of machine that the folder is for: x64 or arm64.');
if (!loader) throw new Error('The Vulkan loader is missing. Install libvulkan1 (Debian), or vulkan-loader.');

execFileSync(
  process.execPath,
  [join(root, 'node_modules/vite/bin/vite.js'), 'build', '--mode', 'dawn', '--logLevel', 'warn'],
  { cwd: root, stdio: 'inherit' },
);
rmSync(out, { recursive: true, force: true });
const payload = join(out, 'payload');
const copies: [string, string][] = [
  [process.execPath, 'node'],
  [loader, 'lib/libvulkan.so.1'],
  ...readdirSync(join(root, 'dist/dawn')).map((file): [string, string] => [join(root, 'dist/dawn', file), file]),
  ...['index.js', 'package.json', 'LICENSE.md', join(relative(dawn, platform), 'dawn.node')].map(
    (file): [string, string] => [join(dawn, file), join('node_modules/webgpu', file)],
  ),
];
for (const [from, to] of copies) {
  mkdirSync(dirname(join(payload, to)), { recursive: true });
  copyFileSync(from, join(payload, to));
}
execFileSync(
  'tar',
  ['-C', payload, '--owner=0', '--group=0', '-I', 'xz -6 -T0', '-cf', join(out, 'payload.tar.xz'), '.'],
  { stdio: 'inherit' },
);
rmSync(payload, { recursive: true });
copyFileSync(join(root, 'public/models/rivulet-tiny.gguf'), join(out, 'rivulet-tiny.gguf'));
writeFileSync(join(out, 'run.sh'), RUN, { mode: 0o755 });

const bytes = readdirSync(out).reduce((sum, file) => sum + statSync(join(out, file)).size, 0);
console.log(`${relative(process.cwd(), out)}: ${(bytes / 2 ** 20).toFixed(1)} MB`);
if (bytes > MOST_BYTES) throw new Error(`The folder has ${bytes} bytes, more than the limit of ${MOST_BYTES}.`);
