import { type BaseHyperparameters, OptimError, type ParametersInput } from "@mm/optim-core";
import type { ParameterDescription } from "@mm/optim-core/backend";
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

/** A list of variables is one group of them. The rest is as core has it, but for what stands in `params`: see {@link namesAndFlags}. */
export function namedVariables<H extends BaseHyperparameters>(
  parameters: TfjsParameters<H>,
): ParametersInput<tf.Variable, H> {
  const isList = Array.isArray(parameters) && parameters.every(isNamed);
  return (isList ? [{ params: parameters }] : parameters) as unknown as ParametersInput<tf.Variable, H>;
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
  const entries = Array.isArray(variables)
    ? (variables as readonly TfjsVariable[]).map(
        (variable) => [(variable as Partial<TfjsVariable> | null)?.name, variable] as const,
      )
    : Object.entries(variables as { readonly [name: string]: TfjsVariable });
  const named = Object.create(null) as Record<string, tf.Variable>;
  for (const [name, variable] of entries) {
    if (typeof name !== "string") {
      throw new OptimError("invalid-parameter", who, {
        expected: "a list of variables, or { name: variable }",
        received: variable,
      });
    }
    if (name in named) {
      throw new OptimError("duplicate-parameter", `${who}: parameter ${JSON.stringify(name)}`, {
        expected: "each variable once in one optimizer",
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
    throw new OptimError("invalid-parameter", where, {
      expected: "a layer weight that was not disposed",
      cause,
    });
  }
}

/** @throws OptimError `invalid-parameter` */
export function describeVariable(variable: tf.Variable, where: string): ParameterDescription {
  const { shape, dtype } = checkedVariable(variable, where);
  if (dtype !== "float32") {
    throw new OptimError("invalid-parameter", where, {
      expected: "a float32 variable",
      received: dtype,
      hint: "Cast its value: tf.variable(tf.cast(value, 'float32'))",
    });
  }
  return { shape: [...shape], identity: variable };
}

/** @throws OptimError `invalid-parameter` for what is no variable, or no longer one */
export function checkedVariable(variable: tf.Variable, where: string): tf.Variable {
  if (!((variable as unknown) instanceof tf.Variable)) {
    throw new OptimError("invalid-parameter", where, {
      expected: "a tf.Variable or a layer's weight",
      received: variable,
      ...((variable as unknown) instanceof tf.Tensor && { hint: "Make it a variable: tf.variable(tensor)" }),
    });
  }
  if (variable.isDisposed) {
    throw new OptimError("invalid-parameter", where, { expected: "a variable that was not disposed" });
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
const isNamed = (value: unknown): boolean =>
  value instanceof tf.Variable || (isObject(value) && typeof value["read"] === "function");
