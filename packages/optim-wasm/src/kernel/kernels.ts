import type { VectorKernels } from "@mm/optim-core/backend";
import type { WasmMemory } from "./webassembly.ts";

/** A vector of float32 in a WebAssembly memory. */
export interface Vector {
  /** Byte address, a multiple of 4 (of 16 is faster). */
  readonly pointer: number;
  /** In elements. */
  readonly length: number;
}

export interface KernelOptions {
  /** Whether the memory is shared between threads; a module has to declare it. Default `false`. */
  readonly shared?: boolean;
}

/**
 * Whether SIMD modules can be compiled here and now: `false` without WebAssembly, without SIMD, and under a content security policy
 * that lacks `wasm-unsafe-eval`.
 */
export declare function kernelsAvailable(): boolean;

/**
 * Kernels over the vectors of one memory, equal to the reference to the bit. Allocates nothing in the memory and keeps no view of it, so
 * the memory may grow at any time. A program is compiled once, and instantiated once per memory.
 */
export declare function wasmKernels(memory: WasmMemory, options?: KernelOptions): VectorKernels<Vector>;
