import { createRequire } from "node:module";
import { OptimError } from "@mm/optim-core";

/** As much of koffi as is used here; its own types would have to be installed with this package. */
export interface NativeFunction {
  (...args: readonly unknown[]): number;
  async: (...args: readonly unknown[]) => void;
}

export interface NativeLibrary {
  func(name: string, result: string, args: readonly string[]): NativeFunction;
  symbol(name: string): unknown;
}

interface Koffi {
  config(): { readonly async_stack_size?: number };
  config(options: { readonly async_stack_size?: number }): unknown;
  load(path: string, options?: { readonly global?: boolean }): NativeLibrary;
}

/** MPICH needs more stack than koffi gives to asynchronous calls. */
const stackSize = 1 << 20;

/** Symbols are resolved now, are seen by the plugins of MPI, and stay loaded at the exit, when threads of UCX still run. */
const loadFlags = 0x2 /* RTLD_NOW */ | 0x100 /* RTLD_GLOBAL */ | 0x1000; /* RTLD_NODELETE */

/**
 * The first of these libraries that can be loaded.
 *
 * @throws OptimError `library-missing` where there is none, or no koffi
 */
export function loadFirst(names: readonly string[]): {
  readonly name: string;
  readonly library: NativeLibrary;
} {
  const koffi = loadKoffi();
  const { async_stack_size: size = 0 } = koffi.config();
  if (size < stackSize) koffi.config({ ...koffi.config(), async_stack_size: stackSize });
  const failures: unknown[] = [];
  try {
    const open = koffi.load("libc.so.6").func("dlopen", "void *", ["str", "int"]);
    for (const name of names) {
      if ((open(name, loadFlags) as unknown) === null) continue;
      return { name, library: koffi.load(name, { global: true }) };
    }
  } catch (error) {
    failures.push(error);
  }
  throw new OptimError("library-missing", "openMpi", {
    expected: `a library of MPI that can be loaded: ${names.join(", ")}`,
    hint: "Install one (Debian: apt-get install openmpi-bin, or mpich), or name its file in MM_MPI_LIBRARY",
    ...(failures.length > 0 && { cause: failures[0] }),
  });
}

/** A function that lets another process that is ready have this processor; where there is none, it returns at once. */
export function processorGiver(): () => void {
  const giveWay = loadKoffi().load("libc.so.6").func("sched_yield", "int", []);
  return () => void giveWay();
}

/**
 * From here on this process ends at once, without the exit handlers of C and C++. MPICH's `MPI_Abort` calls `exit()`, whose destructors free what the
 * threads of Node and koffi still use: now and then the process died of SIGSEGV, and the job lost its exit code.
 */
export function endAtOnce(): void {
  const libc = loadKoffi().load("libc.so.6");
  // Handlers run in reverse order, and `_exit` takes the status that they are given.
  libc.func("on_exit", "int", ["void *", "void *"])(libc.symbol("_exit"), null);
}

function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url);
  try {
    const loaded = require("koffi") as Koffi & { readonly default?: Koffi };
    return loaded.default ?? loaded;
  } catch (cause) {
    throw new OptimError("library-missing", "openMpi", {
      expected: "the package koffi, which calls the library of MPI",
      hint: "npm install koffi",
      cause,
    });
  }
}
