import { refuse } from "@mm/optim-core/backend";

/** The part of `WebAssembly.Memory` that is used. Written out, so that our types need no lib.dom. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

declare const module: unique symbol;

/** A compiled `WebAssembly.Module`. */
export interface WasmModule {
  readonly [module]: true;
}

/** The part of the global `WebAssembly` that is used. */
export interface WasmNamespace {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (
    module: WasmModule,
    imports: { readonly env: { readonly memory: WasmMemory } },
  ) => { readonly exports: object };
  readonly Memory: new (limits: { readonly initial: number; readonly maximum: number }) => WasmMemory;
}

/** The global, looked up anew each time: it may be absent, and a content security policy may forbid to use it. */
export function webAssembly(): WasmNamespace | undefined {
  return (globalThis as { readonly WebAssembly?: unknown }).WebAssembly as WasmNamespace | undefined;
}

export const pageSize = 65_536;

/** All of 4 GiB but for the last page, so that no vector ends at 2³², which is address 0. */
export const mostPages = 65_535;

/**
 * A new memory.
 *
 * @throws OptimError `unsupported` where the system has not the addresses: engines reserve 8 to 10 GB of them for every memory, however small
 */
export function newMemory(
  { Memory }: WasmNamespace,
  limits: { readonly initial: number; readonly maximum: number },
): WasmMemory {
  try {
    return new Memory(limits);
  } catch (cause) {
    return refuse("unsupported", "WebAssembly.Memory", "free addresses for one more memory", limits, {
      hint: "An engine reserves 8 to 10 GB of addresses for each memory: raise the limit (ulimit -v), or dispose of what is not used",
      cause,
    });
  }
}
