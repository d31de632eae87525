import { jit, type numpy as np, valueAndGrad } from "@jax-js/jax";
import type { Parameter } from "@mm/optim-core/backend";
import { type Argument, arraysIn, guardReferences, referencesTo } from "./references.ts";
import { checkedLoss, type Derivative, type JaxLoss } from "./loss.ts";
import { mapVariables, type VariablesOf, type VariableTree } from "./variable-tree.ts";
import { cellOf, type Variable } from "./variable.ts";

/** Where an array of a model comes from: which of those that are differentiated, or which of the constants. */
class Place {
  readonly of: "differentiated" | "constants";
  readonly index: number;

  constructor(of: Place["of"], index: number) {
    this.of = of;
    this.index = index;
  }
}

/** A model with such a place for each variable. */
type Places = Place | readonly Places[] | { readonly [name: string]: Places };

type Compiled = (
  differentiated: np.Array[],
  constants: np.Array[],
  seed: np.Array,
  args: readonly Argument[],
) => [value: np.Array, gradients: np.Array[]];

type RunUntyped = (model: unknown, ...args: readonly Argument[]) => np.Array;
type ReadUntyped = (model: VariableTree) => unknown;

/** How losses that {@link jitLoss} made are differentiated. */
type Differentiate = <P extends Parameter<Variable, unknown, unknown>>(
  parameters: readonly P[],
  seed: () => np.Array,
) => Derivative<P>;

const compiledLosses = /* @__PURE__ */ new WeakMap<JaxLoss, Differentiate>();

/** `undefined` for a loss that is a closure of the caller's. */
export function compiledLoss(loss: JaxLoss): Differentiate | undefined {
  return compiledLosses.get(loss);
}

/**
 * A loss whose value and gradients are compiled together, by `jit` of jax-js. A closure is traced anew at each backward, a loss of this kind once for each
 * form of its arguments.
 *
 * ```ts
 * const loss = jitLoss((model: Model, x: np.Array, y: np.Array) => np.mean(np.square(predict(model, x).sub(y))));
 * optim.updateParams(loss(model, x, y));
 * ```
 *
 * @param run pure: it computes a scalar of float32 from its arguments alone, and consumes each as often as it has references to it
 * @returns makes a loss from a model of variables and further arrays, which stay the caller's: they are read when the loss is used
 */
export function jitLoss<T extends Argument, A extends readonly Argument[]>(
  run: (model: T, ...args: A) => np.Array,
): (model: VariablesOf<T>, ...args: A) => JaxLoss;
export function jitLoss(run: RunUntyped): (model: never, ...args: readonly Argument[]) => JaxLoss {
  const programs = new Map<string, Compiled>();
  const programFor = (places: Places): Compiled => {
    const key = JSON.stringify(places);
    const known = programs.get(key) ?? compile(run, places);
    programs.set(key, known);
    return known;
  };
  return (model: VariableTree, ...args: readonly Argument[]): JaxLoss => {
    const loss: JaxLoss = (at) => run((at as unknown as ReadUntyped)(model), ...referencesTo(args));
    compiledLosses.set(loss, (parameters, seed) => {
      const places = new Map<Variable, Place>();
      const differentiated: (typeof parameters)[number][] = [];
      const constants: Variable[] = [];
      const placed = mapVariables(model, (variable) => {
        const known = places.get(variable);
        if (known !== undefined) return known;
        const parameter = parameters.find(({ value }) => value === variable);
        const place = parameter
          ? new Place("differentiated", differentiated.push(parameter) - 1)
          : new Place("constants", constants.push(variable) - 1);
        places.set(variable, place);
        return place;
      }) as Places;
      const arrays = differentiated.map(({ value }) => cellOf(value).array);
      return guardReferences([...arrays, ...arraysIn(args)], () => {
        const [value, gradients] = programFor(placed)(
          arrays.map(({ ref }) => ref),
          constants.map((variable) => variable.read()),
          seed(),
          referencesTo(args),
        );
        return {
          value,
          gradients: differentiated.map(
            (parameter, index) => [parameter, gradients[index] as np.Array] as const,
          ),
        };
      });
    });
    return loss;
  };
}

function compile(run: RunUntyped, places: Places): Compiled {
  return (jit as unknown as (run: Compiled) => Compiled)(
    (differentiated: np.Array[], constants: np.Array[], seed: np.Array, args: readonly Argument[]) => {
      const scaled = (traced: np.Array[]): [np.Array, np.Array] => {
        const arrays = { differentiated: traced, constants };
        const value = checkedLoss(run(arraysAt(places, arrays), ...args));
        for (const array of [...traced, ...constants]) array.dispose();
        return [value.ref.mul(seed), value];
      };
      const [[product, value], gradients] = valueAndGrad(scaled, { hasAux: true })(differentiated);
      product.dispose();
      return [value, gradients];
    },
  );
}

/** A model of arrays, each a reference of its own. */
function arraysAt(places: Places, arrays: { readonly [K in Place["of"]]: readonly np.Array[] }): unknown {
  if (Array.isArray(places)) return places.map((part: Places) => arraysAt(part, arrays));
  if (places instanceof Place) return (arrays[places.of][places.index] as np.Array).ref;
  return Object.fromEntries(Object.entries(places).map(([name, part]) => [name, arraysAt(part, arrays)]));
}
