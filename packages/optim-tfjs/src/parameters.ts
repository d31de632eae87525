import type { BaseHyperparameters, ParametersInput } from "@mm/optim-core";
import { type ParameterDescription, refuse } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import * as tf from "@tensorflow/tfjs-core";

/** A weight of a tfjs-layers model (`model.trainableWeights`), as far as it is used: it reads as the variable behind it. */
export interface TfjsLayerWeight {
  readonly name: string;
  /** Where it is `false`, the variable is frozen, as by its own flag. Read at every backward and step. */
  readonly trainable?: boolean;
  read(): tf.Tensor;
}

export type TfjsVariable = tf.Variable | TfjsLayerWeight;

/** Variables by name, or a list of variables that have names of their own (`variable.name`). */
export type TfjsVariables = { readonly [name: string]: TfjsVariable } | readonly TfjsVariable[];

/** A group of variables, with the hyperparameters that differ from the rule's. */
export type TfjsParamGroup<H> = {
  /** Default `"0"`, `"1"`, … */
  readonly name?: string;
  readonly params: TfjsVariables;
  readonly rule?: undefined;
} & Partial<Readonly<H>>;

/** A group of variables with a rule of its own. Hyperparameters go into the rule's call; those that all rules have may stand beside it. */
export type TfjsRuledGroup<H extends BaseHyperparameters = BaseHyperparameters> = {
  readonly name?: string;
  readonly params: TfjsVariables;
  readonly rule: UpdateRule<H>;
} & Partial<Readonly<H>>;

/** The variables of an optimizer: float32, of any shape, alive. They stay the caller's. */
export type TfjsParameters<H extends BaseHyperparameters> =
  TfjsVariables | readonly (TfjsParamGroup<H> | TfjsRuledGroup)[];

/**
 * A list of variables is one group of them. The rest is as core has it, but for what stands in `params`: see {@link namesAndFlags}.
 *
 * @throws OptimError `invalid-parameter` for what is neither
 */
export function namedVariables<H extends BaseHyperparameters>(
  parameters: TfjsParameters<H>,
  who: string,
): ParametersInput<tf.Variable, H> {
  const given: unknown = parameters;
  if (!isObject(given) || given instanceof tf.Tensor || isOwner(given)) {
    refuse(
      "invalid-parameter",
      who,
      "variables in a list, by name, or in groups { params }",
      given,
      hintFor(given),
    );
  }
  const isList = Array.isArray(given) && !given.some((item) => isObject(item) && "params" in item);
  return (isList ? [{ params: given }] : given) as unknown as ParametersInput<tf.Variable, H>;
}

interface NamesAndFlags {
  named(params: object, who: string): { readonly [name: string]: tf.Variable };
  isFrozen(variable: tf.Variable): boolean;
}

/**
 * `Engine.named`, a list of variables, or layer weights, by name; and `Engine.isFrozen`, by the flag of the variable and that of the weight that
 * it was given as. Of one optimizer.
 *
 * @throws OptimError `duplicate-parameter` for a list that holds a name twice, `invalid-parameter`
 */
export function namesAndFlags(): NamesAndFlags {
  const weights = new WeakMap<tf.Variable, TfjsVariable>();
  return {
    named: (variables, who) => namedParams(variables, who, weights),
    isFrozen: (variable) => !variable.trainable || weights.get(variable)?.trainable === false,
  };
}

function namedParams(
  variables: object,
  who: string,
  weights: WeakMap<tf.Variable, TfjsVariable>,
): { readonly [name: string]: tf.Variable } {
  if (isOwner(variables)) refuse("invalid-parameter", who, "variables", variables, hintFor(variables));
  const entries: readonly (readonly [unknown, TfjsVariable])[] = Array.isArray(variables)
    ? (variables as readonly TfjsVariable[]).map((variable) => [
        (variable as Partial<TfjsVariable> | null | undefined)?.name,
        variable,
      ])
    : Object.entries(variables as { readonly [name: string]: TfjsVariable });
  const named = Object.create(null) as Record<string, tf.Variable>;
  for (const [name, variable] of entries) {
    if (typeof name !== "string" || isOwner(variable)) {
      refuse(
        "invalid-parameter",
        who,
        "tf.Variables and layers' weights, in a list or by name",
        variable,
        hintFor(variable),
      );
    }
    if (name in named) {
      refuse("duplicate-parameter", who, "each variable once in one optimizer, by name", name, {
        hint: "Name them yourself, { name: variable }, where two variables have the same name",
      });
    }
    const own = unwrapped(variable, `${who}: parameter ${JSON.stringify(name)}`);
    if (own !== variable && own instanceof tf.Variable) weights.set(own, variable);
    named[name] = own;
  }
  return named;
}

function unwrapped(variable: TfjsVariable, where: string): tf.Variable {
  if (
    variable instanceof tf.Variable ||
    typeof (variable as Partial<TfjsLayerWeight> | null)?.read !== "function"
  ) {
    return variable as tf.Variable;
  }
  try {
    return variable.read() as tf.Variable;
  } catch (cause) {
    return refuse("invalid-parameter", where, "a layer's weight that is alive", "a disposed one", { cause });
  }
}

/**
 * As a matrix a variable has its last dimension for outputs: dense kernels are [inputs, outputs] and those of convolutions [height, width, inputs,
 * outputs]. Where the last dimension counts something else, it is taken all the same: the multiplier of a depthwise kernel, the inputs of a transposed
 * convolution, the features of an embedding.
 *
 * @throws OptimError `invalid-parameter`
 */
export function describeVariable(variable: tf.Variable, where: string): ParameterDescription {
  const { shape, dtype } = checkedVariable(variable, where);
  if (dtype !== "float32") {
    refuse("invalid-parameter", where, "a float32 variable", dtype, {
      hint: "Cast its value: tf.variable(tf.cast(value, 'float32'))",
    });
  }
  return { shape: [...shape], outputs: "last", identity: variable };
}

/** @throws OptimError `invalid-parameter` for what is no variable, or no longer one */
export function checkedVariable(variable: tf.Variable, where: string): tf.Variable {
  if (!((variable as unknown) instanceof tf.Variable)) {
    refuse("invalid-parameter", where, "a tf.Variable or a layer's weight", variable, hintFor(variable));
  }
  if (variable.isDisposed) {
    refuse("invalid-parameter", where, "a variable that was not disposed", "a disposed one");
  }
  return variable;
}

/** The same for all that a step would write, before it writes any of it. @throws OptimError `invalid-parameter` */
export function checkAlive(
  items: readonly { readonly parameter: { readonly name: string; readonly value: tf.Variable } }[],
): void {
  for (const { parameter } of items)
    checkedVariable(parameter.value, `step: parameter ${JSON.stringify(parameter.name)}`);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

/** A model or a layer: it owns weights, and is none. */
const isOwner = (value: unknown): boolean => isObject(value) && Array.isArray(value["trainableWeights"]);

/** How to give what came in the place of variables. */
function hintFor(value: unknown): { readonly hint?: string } {
  if (value instanceof tf.Variable) return { hint: "Put it in a list: [variable]" };
  if (value instanceof tf.Tensor) return { hint: "Make it a variable: tf.variable(tensor)" };
  return isOwner(value)
    ? {
        hint: "Give the weights of a model or layer: model.trainableWeights; of several: [...a.trainableWeights, …]",
      }
    : {};
}
