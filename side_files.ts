/** The side files of the library: parts of the engine that are not in its file (src/modules/). */
export const SIDE_FILES = [
  'tools',
  'encoders',
  'experts',
  'vision',
  'retrieval',
  'conversations',
  'grammar',
  'speculation',
  'memory64',
] as const;

/**
 * Those with a folder of WGSL files in shaders/, and those with a build of the C kernels (kernels/build.ts). Each has a
 * virtual module of its own, as 'virtual:rivulet-shaders/encoders'.
 */
export const SHADER_SIDE_FILES = ['encoders', 'experts'] as const;
export const KERNEL_SIDE_FILES = ['encoders', 'memory64'] as const;

export type ShaderSideFile = (typeof SHADER_SIDE_FILES)[number];
export type KernelSideFile = (typeof KERNEL_SIDE_FILES)[number];

/** The side file of a virtual module: undefined for the engine's, null if `id` is another module. */
export function sideFileOf<Name extends string>(
  id: string,
  module: string,
  names: readonly Name[],
): Name | undefined | null {
  if (id === module) return undefined;
  return names.find((name) => id === `${module}/${name}`) ?? null;
}
