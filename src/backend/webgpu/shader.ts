/**
 * Links WGSL files into one shader module and reads bindings and structs from their text, which is their only
 * declaration.
 */
import { build, packed } from 'virtual:rivulet-shaders';
import { fail } from '../../errors';
import { structLayout, type StructLayout } from '../struct';
import { createUnpacker, fromBase64 } from '../unpack';

export interface LinkedShader {
  code: string;
  bindings: ReadonlyMap<string, { binding: number; type: GPUBufferBindingType }>;
}

const DIRECTIVE = /^\s*(?:enable|requires|diagnostic)\b[^;]*;/gm;
const BINDING = /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(uniform|storage)\s*(?:,\s*(read_write|read)\s*)?>\s*(\w+)/g;

const DECLARATION = /\b(?:fn|struct|const|alias|override|var<[^>]+>)\s+(\w+)/g;

/**
 * The suffix for a second copy of a file in one kernel, which then reads two weight formats: added to the file name and
 * to every name it declares.
 */
export const SECOND_COPY_SUFFIX = '_2';

/**
 * Joins the second copies: they refer to each other's renamed declarations. No struct field may have the name of a
 * declaration.
 */
function renamedCopy(texts: string[]): string {
  const text = texts.join('\n');
  const declared = new Set(Array.from(text.matchAll(DECLARATION), ([, name]) => name));
  return text
    .replace(/(?<!\.)\b[a-z_]\w*/gi, (word) => (declared.has(word) ? word + SECOND_COPY_SUFFIX : word))
    .replace(/@binding\((\d+)\)/g, (_, n) => `@binding(${20 + Number(n)})`);
}

/** The text of a file, or with 'file#Name' that of one of its structs alone. */
function textOf(source: string, files: Record<string, string>): string {
  const [file, struct] = source.split('#');
  const text = files[file]?.match(struct ? `struct ${struct}{[^}]*}` : /[^]*/);
  return (
    text?.[0] ??
    fail('DeviceError', { what: 'A shader file is missing', got: source, cure: 'Build the project again.' })
  );
}

const registered: Record<string, string> = {};
let texts: Record<string, string> | undefined;

/** The text of each shader file by its name. They are unpacked at the first use: a page without WebGPU has none. */
export function shaderTexts(): Record<string, string> {
  texts ??= JSON.parse(
    new TextDecoder().decode(createUnpacker(fromBase64(packed.text), packed.bytes)(0, packed.bytes)),
  );
  return Object.assign(texts!, registered);
}

/** The fields of a struct in the uniform address space, all of which are u32 or f32. @param source 'file#Name' */
export function uniformLayout(source: string): StructLayout {
  let layout: StructLayout | undefined;
  const read = (): StructLayout =>
    (layout ??= structLayout(
      textOf(source, shaderTexts())
        .replace(/.*{|,?}/g, '')
        .replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
    ));
  return {
    get bytes() {
      return read().bytes;
    },
    offset: (field) => read().offset(field),
    write: (...written) => read().write(...written),
    pack: (values) => read().pack(values),
  };
}

const linked = new Map<string, LinkedShader>();

let version = build;

/** A version of all shader files and of the WebGPU backend: saved results of a device apply to one alone. */
export const shaderVersion = (): string => version;

/**
 * Adds the shader files of a side file to the engine's.
 * @param ofTexts a version of these files
 */
export function registerShaders(files: Record<string, string>, ofTexts: string): void {
  Object.assign(registered, files);
  version += ofTexts;
}

/**
 * @param sources files, and structs of other files as 'file#Name'
 * @throws DeviceError for an unknown file or two bindings with one number: bugs of this project
 */
export function linkShader(sources: readonly string[], files?: Record<string, string>): LinkedShader {
  const key = sources.join('+');
  const known = files ? undefined : linked.get(key);
  if (known) return known;
  const all = files ?? shaderTexts();
  const copies = sources
    .filter((name) => name.endsWith(SECOND_COPY_SUFFIX))
    .map((name) => textOf(name.slice(0, -SECOND_COPY_SUFFIX.length), all));
  const text = [
    ...sources.filter((name) => !name.endsWith(SECOND_COPY_SUFFIX)).map((name) => textOf(name, all)),
    renamedCopy(copies),
  ].join('\n');
  const directives = new Set(Array.from(text.matchAll(DIRECTIVE), ([line]) => line.trim()));
  const code = [...directives, text.replace(DIRECTIVE, '')].join('\n');

  const bindings = new Map<string, { binding: number; type: GPUBufferBindingType }>();
  const taken = new Map<number, string>();
  for (const [, number, space, access, name] of code.matchAll(BINDING)) {
    const binding = Number(number);
    if (taken.has(binding))
      fail('DeviceError', {
        what: `Two bindings of ${key} have number ${binding}`,
        got: `${taken.get(binding)} and ${name}`,
      });
    taken.set(binding, name);
    bindings.set(name, {
      binding,
      type: space === 'uniform' ? 'uniform' : access === 'read_write' ? 'storage' : 'read-only-storage',
    });
  }
  const shader = { code, bindings };
  if (!files) linked.set(key, shader);
  return shader;
}
