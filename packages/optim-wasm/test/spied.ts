import { onTestFinished, vi } from "vitest";

/** The counts of a `WebAssembly` that counts. */
export interface Spied {
  /** Modules compiled. */
  modules: number;
  readonly memories: WebAssembly.Memory[];
  /** Calls of exported functions, in order. */
  readonly calls: { readonly name: string; readonly args: readonly number[] }[];
  /** How often a function was called since the last `calls.length = 0`. */
  count(...names: readonly string[]): number;
}

/** Puts a counting `WebAssembly` in place until the test ends. No module of another is reused by it. */
export function spyOnWebAssembly(): Spied {
  const real = WebAssembly;
  const spied: Spied = {
    modules: 0,
    memories: [],
    calls: [],
    count: (...names) => spied.calls.filter(({ name }) => names.includes(name)).length,
  };
  vi.stubGlobal("WebAssembly", {
    Module: class extends real.Module {
      constructor(bytes: BufferSource) {
        super(bytes);
        spied.modules += 1;
      }
    },
    Memory: class extends real.Memory {
      constructor(descriptor: WebAssembly.MemoryDescriptor) {
        super(descriptor);
        spied.memories.push(this);
      }
    },
    Instance: class {
      readonly exports: Record<string, unknown>;
      constructor(module: WebAssembly.Module, imports: WebAssembly.Imports) {
        const { exports } = new real.Instance(module, imports);
        const counted =
          (name: string) =>
          (...args: number[]) => {
            spied.calls.push({ name, args });
            return (exports[name] as (...args: number[]) => unknown)(...args);
          };
        this.exports = Object.fromEntries(Object.keys(exports).map((name) => [name, counted(name)]));
      }
    },
  });
  onTestFinished(() => {
    vi.unstubAllGlobals();
  });
  return spied;
}

/** Every way in which a place can be without compiled kernels. */
export const withoutWebAssembly: readonly (readonly [string, object | undefined])[] = [
  ["no WebAssembly", undefined],
  [
    "a content security policy that forbids to compile",
    {
      ...WebAssembly,
      Memory: WebAssembly.Memory,
      Module: function Module() {
        throw new WebAssembly.CompileError("refused by Content Security Policy");
      },
    },
  ],
  [
    "WebAssembly without SIMD",
    {
      Memory: WebAssembly.Memory,
      Instance: WebAssembly.Instance,
      Module: class extends WebAssembly.Module {
        constructor(bytes: Uint8Array) {
          if (bytes.includes(0xfd)) throw new WebAssembly.CompileError("invalid opcode 0xfd");
          super(bytes as BufferSource);
        }
      },
    },
  ],
];

export function hideWebAssembly(replacement: object | undefined): void {
  vi.stubGlobal("WebAssembly", replacement);
  onTestFinished(() => {
    vi.unstubAllGlobals();
  });
}
