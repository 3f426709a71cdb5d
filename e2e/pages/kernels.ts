/** The kernels of the linear map in a page, for wasm_linear.spec.ts. */
import { checkLinear, DTYPE_NAMES, openKernels, SHAPES, type Kernels } from '../../src/backend/wasm/linearcheck';
import { compileModule, type Variant } from '../../src/backend/wasm/module';
import { DTYPES } from '../../src/tensor/dtype';

const open = async (variant: Variant): Promise<Kernels> => openKernels((await compileModule(true, variant)).module);

/** Every format and shape, simd and relaxed. @returns what is wrong */
export async function checkAll(): Promise<string[]> {
  const kernels = { simd: await open('simd'), relaxed: await open('relaxed') };
  return DTYPE_NAMES.flatMap((dtype) =>
    SHAPES.filter(([, cols]) => cols % DTYPES[dtype].blockLength === 0).flatMap(([rows, cols]) => checkLinear(kernels, dtype, rows, cols)),
  );
}
