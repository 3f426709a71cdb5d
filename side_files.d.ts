/** The side files of the library: parts of the engine that are not in its file (src/modules/). */
export declare const SIDE_FILES: readonly ['tools', 'encoders', 'conversations'];
/**
 * Those that bring kernels: a folder of WGSL files in shaders/, and a build of the C kernels with a macro of their
 * name.
 * The virtual modules of the kernels have one more for each: 'virtual:rivulet-shaders/encoders'.
 */
export declare const KERNEL_SIDE_FILES: readonly ['encoders'];
export type KernelSideFile = (typeof KERNEL_SIDE_FILES)[number];
/** The side file of a virtual module: undefined for the engine's, null if `id` is another module. */
export declare function kernelSideFileOf(id: string, module: string): KernelSideFile | undefined | null;
