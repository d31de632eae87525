/**
 * Kernels for backends that keep float32 vectors in a WebAssembly memory, their own or a host library's.
 *
 * ```ts
 * // Over a memory of someone else (tfjs-wasm's heap): only the kernels.
 * const kernels = wasmKernels(backend.wasm.asm.memory, { shared: threaded });
 * kernels.run(program, pass, vectors, extents, uniforms, sums);     // each vector a { pointer, length }
 *
 * // Over a memory of one's own, for parameters that live in JavaScript arrays: kernels with storage.
 * const store = availableVectorMemory() ?? createVectorArrays();
 * ```
 *
 * @module
 */
export { type KernelOptions, kernelsAvailable, type ProgramKernels, wasmKernels } from "./kernels.ts";
export { availableVectorMemory, createVectorArrays, createVectorMemory } from "./store.ts";
export type { Vector } from "./vector.ts";
export type { VectorStore } from "./vector-store.ts";
export type { WasmMemory } from "./webassembly.ts";
