import { isOptimError } from "@mm/optim-core";
import { arrayKernels } from "@mm/optim-core/backend";
import { kernelsAvailable } from "./kernels.ts";
import type { Vector } from "./vector.ts";
import { VectorMemory } from "./vector-memory.ts";
import type { VectorStore } from "./vector-store.ts";

/**
 * Storage in WebAssembly memory that grows as needed, up to 4 GiB, and never shrinks.
 *
 * @param bytes an estimate of all that it will hold. Small stores share one memory, since engines reserve 8 to 10 GB of addresses for each;
 * one that outgrows it moves to a memory of its own. Default: a memory of its own from the start
 * @throws OptimError `unsupported` where the system has no addresses for a memory; errors of `new WebAssembly.Module` where
 * `kernelsAvailable()` is `false`
 */
export function createVectorMemory(bytes?: number): VectorStore<Vector> {
  return new VectorMemory(bytes);
}

/** The same, or `undefined` where kernels cannot be compiled, or the system has no addresses for a memory. */
export function availableVectorMemory(bytes?: number): VectorStore<Vector> | undefined {
  if (!kernelsAvailable()) return undefined;
  try {
    return createVectorMemory(bytes);
  } catch (error) {
    if (isOptimError(error) && error.code === "unsupported") return undefined;
    throw error;
  }
}

/** The same in plain arrays, with the reference evaluation: what runs where WebAssembly may not be compiled. */
export function createVectorArrays(): VectorStore<Float32Array> {
  return {
    kernels: arrayKernels(),
    allocate: (length, initial) => new Float32Array(length).fill(initial),
    release() {},
    reserve() {},
    view: (vector) => vector,
    dispose() {},
  };
}
