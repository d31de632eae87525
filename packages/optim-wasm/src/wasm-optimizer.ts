import {
  type BaseHyperparameters,
  hyperparameterEntries,
  type Optimizer,
  type ParametersInput,
} from "@mm/optim-core";
import { allSlots, createOptimizer, structureOf } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { WasmLoss } from "./differentiate.ts";
import { createEngine, type WasmCapabilities } from "./engine.ts";
import { kernelsAvailable } from "./kernel/index.ts";
import { requireApart } from "./parameters.ts";
import { arenaOf, arrayStorage, copyingStorage, type Storage } from "./storage.ts";

/** Parameters by name. `Name` is the union of their names. */
export type WasmParameters<Name extends string = string> = { readonly [K in Name]: Float32Array };

/** Groups of parameters with hyperparameters of their own. `Name` is the union of the names of all parameters. */
export type WasmParamGroups<H, Name extends string = string> = readonly ({
  readonly name?: string;
  readonly params: { readonly [K in Name]?: Float32Array };
} & Partial<Readonly<H>>)[];

/** An optimizer of this package: {@link Optimizer} with what is its own in `capabilities`. */
export interface WasmOptimizer<
  Name extends string = string,
  H extends BaseHyperparameters = BaseHyperparameters,
> extends Optimizer<WasmLoss<Name>, number, H> {
  readonly capabilities: WasmCapabilities;
}

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
 * Parameters stay the caller's, and have their new values when the step returns. Arrays of an arena ({@link createArena}) are updated
 * where they are; others are copied into the kernels' memory and back by each step, which takes about as long again as the update.
 * All parameters of an optimizer are of one arena, or none of any.
 *
 * Memory beside the parameters: 4 bytes per element for the accumulator and for each slot, 4 more for the gradient when a window has
 * more than one backward, and a copy of the largest parameter; in all at most 4 GiB. `dispose()` frees it.
 *
 * Works without WebAssembly too, slowly: see `capabilities.compiled`. Never waits for anything.
 *
 * @throws OptimError `invalid-rule`, `invalid-parameter` for anything but a live Float32Array, `empty-parameters`,
 * `duplicate-parameter` for a name that is there twice and for arrays that share elements, `arena-full`, `unknown-option`,
 * `invalid-hyperparameter`, `unsupported` where there is not enough memory
 */
export function wasmOptimizer<H extends BaseHyperparameters, const Name extends string>(
  rule: UpdateRule<H>,
  groups: WasmParamGroups<H, Name>,
): WasmOptimizer<Name, H>;
export function wasmOptimizer<H extends BaseHyperparameters, const Name extends string>(
  rule: UpdateRule<H>,
  parameters: WasmParameters<Name>,
): WasmOptimizer<Name, H>;
export function wasmOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: WasmParameters | WasmParamGroups<H>,
): WasmOptimizer<string, H> {
  let arrays = arraysOf(parameters);
  const arena = arrays.map(([, value]) => arenaOf(value)).find((found) => found !== undefined);
  const build = <V>(storage: Storage<V>): WasmOptimizer<string, H> => {
    const lengthOf = (name: string): number | undefined =>
      optimizer.parameters.find((parameter) => parameter.name === name)?.shape[0];
    const optimizer: Optimizer<WasmLoss, number, H> = createOptimizer(
      who,
      createEngine(storage, lengthOf),
      rule,
      parameters as ParametersInput<Float32Array, H>,
    );
    requireApart(arrays, who);
    storage.reserve(arrays.map(([, value]) => ({ value, length: value.length })));
    const add = optimizer.addParamGroup.bind(optimizer);
    optimizer.addParamGroup = (group) => {
      const more = [...arrays, ...arraysOf([group])];
      requireApart(more, "addParamGroup");
      add(group);
      arrays = more;
    };
    // The engine's capabilities are the optimizer's.
    return optimizer as Optimizer<WasmLoss, number, H> & { readonly capabilities: WasmCapabilities };
  };
  if (arena !== undefined) return arena.build(() => slotsInAnyStructure(rule), build);
  return kernelsAvailable() ? build(copyingStorage()) : build(arrayStorage());
}

function slotsInAnyStructure({ definition, hyperparameters }: UpdateRule): number {
  return allSlots(definition, structureOf(definition, hyperparameterEntries(hyperparameters))).slots.size;
}

/** Whatever was given in the place of parameters, by name: it is checked later. */
function arraysOf(parameters: unknown): (readonly [name: string, value: Float32Array])[] {
  if (!Array.isArray(parameters)) return Object.entries(Object(parameters) as WasmParameters);
  return (parameters as unknown[]).flatMap((group) =>
    arraysOf((group as { params?: unknown } | null)?.params ?? {}),
  );
}
