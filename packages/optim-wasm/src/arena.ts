import { refuse } from "@mm/optim-core/backend";
import { checkSchema, integerFrom } from "@mm/optim-core/schema";
import { ArenaMemory } from "./arena-memory.ts";
import { buildOnArena } from "./arena-storage.ts";
import { registerArena } from "./storage.ts";

/** Float32Arrays by name, in one memory. They hold zeros at first, and are never moved or detached. */
export type Arena<Name extends string = string> = { readonly [K in Name]: Float32Array };

export interface ArenaOptions {
  /** Slots per parameter for which there is room: 2 for Adam, 3 with amsgrad, 1 for momentum; with an evaluation point one more. Default 4. */
  readonly slots?: number;
}

/**
 * Memory for parameters that an optimizer updates where they are, without copying them: one WebAssembly memory of fixed size, which
 * also has the room for what `wasmOptimizer` needs beside each parameter (its accumulator, the gradient of a backward in a window,
 * and slots). Unused room is reserved address space only.
 *
 * ```ts
 * const arena = createArena({ w1: [128, 784], b1: 128 });
 * arena.w1.set(initialWeights);
 * const optimizer = wasmOptimizer(adam(), arena);
 * ```
 *
 * Several optimizers may have parameters in one arena, each some of them or the same ones as long as there is room; `dispose()` gives
 * it back. Memory is laid out by kind (all arrays, all their accumulators, then the rest), so the gradients of an optimizer that has all of them
 * are one array: `gradientView`. Arrays begin at multiples of 256 bytes, and what lies between them stays zero. The memory is freed when neither an array nor
 * an optimizer refers to it.
 *
 * @param lengths elements of each array, or its shape, the outputs of a layer first: rules for matrices need the shape, and room for what they
 * compute with is reserved then
 * @throws OptimError `empty-parameters`, `invalid-option` for lengths that are no counts and for more than 4 GiB in all,
 * `unknown-option`, `unsupported` where there is no memory for it
 */
export function createArena<const Name extends string>(
  lengths: { readonly [K in Name]: number | readonly number[] },
  options: ArenaOptions = {},
): Arena<Name> {
  const entries = checkedShapes(lengths);
  checkSchema("invalid-option", "createArena", options, { fields: { "slots?": integerFrom(0) } });
  const { slots = 4 } = options;
  const memory = new ArenaMemory(
    entries.map(([, shape]) => shape),
    slots,
  );
  registerArena(memory.buffer, {
    build: (onStorage) => buildOnArena(memory, onStorage),
  });
  return Object.freeze(
    Object.fromEntries(entries.map(([name], index) => [name, memory.arrays[index]])),
  ) as Arena<Name>;
}

function checkedShapes<Name extends string>(lengths: {
  readonly [K in Name]: number | readonly number[];
}): [Name, readonly number[]][] {
  if (typeof lengths !== "object" || (lengths as unknown) === null) {
    refuse("invalid-option", "createArena: lengths", "a record { name: length or shape }", lengths);
  }
  const entries = Object.entries(lengths) as [Name, number | readonly number[]][];
  if (entries.length === 0) {
    refuse("empty-parameters", "createArena: lengths", "at least one array", lengths);
  }
  return entries.map(([name, given]) => {
    const shape = typeof given === "number" ? [given] : given;
    checkSchema("invalid-option", `createArena: lengths.${name}`, shape, { items: integerFrom(0) });
    return [name, [...shape]];
  });
}
