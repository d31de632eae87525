import type { BaseHyperparameters, Optimizer, ParametersInput, SlotOptions } from "@mm/optim-core";
import { createOptimizer, type Engine } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type * as tf from "@tensorflow/tfjs-core";
import type { TfjsLoss } from "./gradients.ts";

// Registered, so that it is the same one where two copies of this package are installed.
const variablesKey = /* @__PURE__ */ Symbol.for("@mm/optim-tfjs.variables");

/** `createOptimizer` over tfjs variables: {@link variablesOf} tells which. */
export function createVariableOptimizer<V, G, S, H extends BaseHyperparameters>(
  who: string,
  engine: Engine<TfjsLoss, tf.Scalar, tf.Variable, V, G, S>,
  rule: UpdateRule<H>,
  parameters: ParametersInput<tf.Variable, H>,
  options?: SlotOptions,
): Optimizer<TfjsLoss, tf.Scalar, H> {
  const variables = new Set<tf.Variable>();
  const optimizer = createOptimizer<TfjsLoss, tf.Scalar, tf.Variable, V, G, S, H>(
    who,
    {
      ...engine,
      admit(added, call) {
        engine.admit?.(added, call);
        for (const { value } of added) variables.add(value);
      },
    },
    rule,
    parameters,
    options,
  );
  return Object.defineProperty(optimizer, variablesKey, { value: variables });
}

/**
 * The variables of an optimizer, those of groups that were added later too. Live. A decorated optimizer has those of the one inside;
 * `undefined` for one that was not made by {@link createVariableOptimizer}.
 */
export function variablesOf(optimizer: object): ReadonlySet<tf.Variable> | undefined {
  return (optimizer as { readonly [variablesKey]?: ReadonlySet<tf.Variable> })[variablesKey];
}
