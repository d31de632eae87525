import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { matMul } from "./mat-mul.ts";
import { slice } from "./slice.ts";
import { transpose } from "./transpose.ts";

/** A kernel of ours: a result that the caller owns, or `undefined` for what the kernel of tfjs shall do. */
type Repaired = (backend: BackendWasm, inputs: never, attributes: never) => tf.TensorInfo | undefined;

const repaired: { readonly [kernelName: string]: Repaired } = {
  BatchMatMul: matMul,
  Slice: slice,
  Transpose: transpose,
};

const registered = /* @__PURE__ */ new WeakSet<tf.KernelFunc>();

/**
 * Replaces three kernels of tfjs-wasm by faster ones that give the same numbers: matrix products with a transposed factor or a batch, transpositions, and
 * slices of memory that lies together. It does so for the whole process, which a program may do and a library may not. Before or after the
 * backend is started; a second call does nothing. Needs an import of `@tensorflow/tfjs-backend-wasm`.
 */
export function repairWasmKernels(): void {
  for (const [kernelName, ours] of Object.entries(repaired)) {
    const stock = tf.getKernel(kernelName, "wasm") as tf.KernelConfig | undefined;
    if (stock === undefined)
      throw new Error(`tfjs-wasm has no kernel ${kernelName}: import its package first`);
    if (registered.has(stock.kernelFunc)) continue;
    const kernelFunc: tf.KernelFunc = (call) =>
      ours(call.backend as BackendWasm, call.inputs as never, call.attrs as never) ?? stock.kernelFunc(call);
    registered.add(kernelFunc);
    tf.unregisterKernel(kernelName, "wasm");
    tf.registerKernel({ ...stock, kernelFunc });
  }
}
