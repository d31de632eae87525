import type {
  BaseHyperparameters,
  GroupsInput,
  Optimizer,
  ParametersInput,
  ParamNamesOf,
  RulesOf,
  SlotOptions,
} from "@mm/optim-core";
import { createOptimizer } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import { anything, checkSchema } from "@mm/optim-core/schema";
import type { WasmLoss } from "./differentiate.ts";
import { createEngine, type WasmCapabilities } from "./engine.ts";
import { type GradientPlace, GradientPlaces } from "./gradient-places.ts";
import { availableVectorMemory } from "./kernel/index.ts";
import { arenaOf, arrayStorage, copyingStorage, type Storage } from "./storage.ts";

/** Parameters by name. `Name` is the union of their names. */
export type WasmParameters<Name extends string = string> = { readonly [K in Name]: Float32Array };

/** Groups of parameters with hyperparameters of their own. `Name` is the union of the names of all parameters. */
export type WasmParamGroups<H, Name extends string = string> = readonly ({
  readonly name?: string;
  readonly params: { readonly [K in Name]?: Float32Array };
  readonly rule?: undefined;
} & Partial<Readonly<H>>)[];

/** An optimizer of this package: {@link Optimizer} with what is its own in `capabilities`. */
export interface WasmOptimizer<
  Name extends string = string,
  H extends BaseHyperparameters = BaseHyperparameters,
  R extends BaseHyperparameters = H,
> extends Optimizer<WasmLoss<Name>, number, H, R> {
  readonly capabilities: WasmCapabilities;
  /**
   * All accumulated gradients in one array, of an optimizer that has exactly the parameters of an arena; `undefined` for every other, for a second
   * one on the same arena, and after `dispose()`. For all-reduces that work in place.
   *
   * In the declared order of the arena, each padded with zeros to a multiple of 256 bytes, followed by room for 1 + n numbers of the caller's, n
   * being the number of parameters. Gradients are as accumulated (window and loss scale included). A parameter without a pending gradient
   * reads as zeros, which are written when this property is read: read it before anything is put there. The array stays the same
   * through steps and loads. A parameter that has no gradient here is not stepped by what is written for it: hand it to `writeGradients`.
   */
  readonly gradientView?: Float32Array | undefined;
  /** Where each gradient is in {@link gradientView}, in the order of `parameters`, and whether it is pending. `undefined` where that is. */
  readonly gradientPlaces?: readonly GradientPlace[] | undefined;
}

/** Options of {@link wasmOptimizer}. */
export type WasmOptimizerOptions = SlotOptions;

const who = "wasmOptimizer";

/**
 * An update rule on Float32Arrays, as WebAssembly: one pass over parameter, gradient and slots per step and parameter, with unscaling
 * and clipping in it.
 *
 * ```ts
 * const weights = new Float32Array(784 * 10);
 * const optim = createOptimWrapper(wasmOptimizer(adamw({ lr: 1e-3 }), { weights }));
 * optim.updateParams(({ grad, scale }) => backward(weights, batch, grad("weights"), scale));
 * ```
 *
 * A group may follow a rule of its own: `[{ params: hidden, rule: sgd({ lr: 0.1, momentum: 0.9 }) }, { params: rest }]`. All groups share one
 * backward, one norm and one state.
 *
 * Parameters stay the caller's, and have their new values when the step returns. Arrays of an arena ({@link createArena}) are updated
 * where they are; others are copied into the kernels' memory and back by each step, which takes about as long again as the update.
 * All parameters of an optimizer are of one arena, or none of any.
 *
 * Memory beside the parameters: 4 bytes per element for the accumulator and for each slot (2 of those with `slotDtype: "bfloat16"`), 4 more for the gradient when a window has
 * more than one backward, and a copy of the largest parameter; in all at most 4 GiB. `dispose()` frees it.
 *
 * Works without WebAssembly too, and where the system has no addresses for its memory (engines reserve 8 to 10 GB of them, once for all small
 * optimizers and once for each that is larger), slowly: see `capabilities.compiled`. Never waits for anything.
 *
 * @throws OptimError `invalid-rule`, `invalid-parameter` for anything but a live Float32Array, `empty-parameters`,
 * `duplicate-parameter` for a name that is there twice and for arrays that share elements, `arena-full`, `unknown-option`, `invalid-option`,
 * `invalid-hyperparameter`, `unknown-name` for a slot that no rule has, `unsupported` where there will not be enough memory
 */
export function wasmOptimizer<H extends BaseHyperparameters, const Name extends string>(
  rule: UpdateRule<H>,
  groups: WasmParamGroups<H, Name>,
  options?: WasmOptimizerOptions,
): WasmOptimizer<Name, H>;
export function wasmOptimizer<H extends BaseHyperparameters, const G extends readonly object[]>(
  rule: UpdateRule<H>,
  groups: GroupsInput<{ readonly [name: string]: Float32Array }, NoInfer<H>, G>,
  options?: WasmOptimizerOptions,
): WasmOptimizer<ParamNamesOf<G>, H, RulesOf<G, H>>;
export function wasmOptimizer<H extends BaseHyperparameters, const Name extends string>(
  rule: UpdateRule<H>,
  parameters: WasmParameters<Name>,
  options?: WasmOptimizerOptions,
): WasmOptimizer<Name, H>;
export function wasmOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: unknown,
  options: WasmOptimizerOptions = {},
): WasmOptimizer<string, H> {
  checkSchema("invalid-option", `${who}: options`, options, { fields: { "slotDtype?": anything } });
  const arrays = arraysIn(parameters);
  const arena = arrays.map(arenaOf).find((found) => found !== undefined);
  const build = <V>(storage: Storage<V>): WasmOptimizer<string, H> => {
    const places = new GradientPlaces(storage);
    const engine = createEngine(storage, places);
    const optimizer = createOptimizer(
      who,
      engine,
      rule,
      parameters as ParametersInput<Float32Array, H>,
      options,
    );
    if (storage.gradients !== undefined) {
      Object.defineProperties(optimizer, {
        gradientView: { get: () => places.view(), configurable: true },
        gradientPlaces: { get: () => places.list(), configurable: true },
      });
    }
    // The engine's capabilities are the optimizer's.
    return optimizer as Optimizer<WasmLoss, number, H> & { readonly capabilities: WasmCapabilities };
  };
  if (arena !== undefined) return arena.build(build);
  const store = availableVectorMemory(bytesFor(arrays));
  return store ? build(copyingStorage(store)) : build(arrayStorage());
}

/** An estimate of the bytes beside the parameters: accumulator, pending gradient and three slots of each, and a copy of the largest. */
function bytesFor(arrays: readonly unknown[]): number {
  const lengths = arrays.flatMap((array) => (ArrayBuffer.isView(array) ? [array.byteLength + 64] : []));
  return 5 * lengths.reduce((sum, bytes) => sum + bytes, 0) + Math.max(0, ...lengths);
}

/** The arrays among the parameters. They are checked later. */
function arraysIn(parameters: unknown): readonly unknown[] {
  const given = Array.isArray(parameters) ? (parameters as unknown[]) : [{ params: parameters }];
  return given.flatMap((group) =>
    Object.values(Object((Object(group) as { params?: unknown }).params) as { [name: string]: unknown }),
  );
}
