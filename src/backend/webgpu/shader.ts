/** Joins WGSL files into one module and reads its bindings from the text, which is their only declaration. */
import { shaders } from 'virtual:rivulet-shaders';
import { fail } from '../../errors';

export interface Shader {
  code: string;
  bindings: ReadonlyMap<string, { binding: number; type: GPUBufferBindingType }>;
}

const DIRECTIVE = /^\s*(?:enable|requires|diagnostic)\b[^;]*;/gm;
const BINDING = /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(uniform|storage)\s*(?:,\s*(read_write|read)\s*)?>\s*(\w+)/g;

const DECLARATION = /\b(?:fn|struct|const|alias|override|var<[^>]+>)\s+(\w+)/g;

/** Behind the name of a file: a second copy of it, for kernels over two formats. What the copies declare has it behind its name, too. */
export const AGAIN = '_2';

/** Copies mean each other's names. No field of a struct may be called what a file declares. */
function copyOf(texts: string[]): string {
  const text = texts.join('\n');
  const declared = new Set(Array.from(text.matchAll(DECLARATION), ([, name]) => name));
  return text.replace(/(?<!\.)\b[a-z_]\w*/gi, (word) => (declared.has(word) ? word + AGAIN : word)).replace(/@binding\((\d+)\)/g, (_, n) => `@binding(${20 + Number(n)})`);
}

const linked = new Map<string, Shader>();

/** @throws DeviceError for an unknown file or two bindings with one number: mistakes of this project, not of its user */
export function link(sources: readonly string[], files: Record<string, string> = shaders): Shader {
  const key = sources.join('+');
  const known = files === shaders ? linked.get(key) : undefined;
  if (known) return known;
  const textOf = (name: string): string => files[name] ?? fail('DeviceError', { what: 'A shader file is missing', got: name, cure: 'Build the project again.' });
  const copies = sources.filter((name) => name.endsWith(AGAIN)).map((name) => textOf(name.slice(0, -AGAIN.length)));
  const text = [...sources.filter((name) => !name.endsWith(AGAIN)).map(textOf), copyOf(copies)].join('\n');
  const directives = new Set(Array.from(text.matchAll(DIRECTIVE), ([line]) => line.trim()));
  const code = [...directives, text.replace(DIRECTIVE, '')].join('\n');

  const bindings = new Map<string, { binding: number; type: GPUBufferBindingType }>();
  const taken = new Map<number, string>();
  for (const [, number, space, access, name] of code.matchAll(BINDING)) {
    const binding = Number(number);
    if (taken.has(binding)) fail('DeviceError', { what: `Two bindings of ${key} have number ${binding}`, got: `${taken.get(binding)} and ${name}` });
    taken.set(binding, name);
    bindings.set(name, { binding, type: space === 'uniform' ? 'uniform' : access === 'read_write' ? 'storage' : 'read-only-storage' });
  }
  const shader = { code, bindings };
  if (files === shaders) linked.set(key, shader);
  return shader;
}
