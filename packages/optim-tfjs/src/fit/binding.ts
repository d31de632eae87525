import { isOptimError, OptimError } from "@mm/optim-core";
import { requireContract } from "@mm/optim-core/backend";
import type * as tf from "@tensorflow/tfjs-core";
import { pairedNames, renamed } from "../renamed.ts";
import { variablesOf } from "../variable-optimizer.ts";
import { variablesNamed } from "./variables.ts";
import type { FitState } from "./weights.ts";
import type { TfjsWrapper } from "./wrapper.ts";

/** A wrapper with the variables that a `TfOptimizer` knows. */
export class Binding<W extends TfjsWrapper> {
  readonly wrapper: W;
  /** Names of the variables of each group that joined. */
  readonly joined: string[][] = [];
  /** Given to the function that made the wrapper, or joined since. */
  readonly #given: Set<tf.Variable>;

  constructor(wrapper: W, given: readonly tf.Variable[]) {
    this.wrapper = wrapper;
    this.#given = new Set(given);
  }

  /** The variables of the wrapper. */
  get variables(): ReadonlySet<tf.Variable> {
    return variablesOf(this.wrapper.optimizer) ?? this.#given;
  }

  /** Whether the wrapper has it, or was made without it though it could have had it. */
  knows(variable: tf.Variable): boolean {
    return this.#given.has(variable) || this.variables.has(variable);
  }

  /** The variables that the wrapper does not know become a group of it, with the hyperparameters of the rule. */
  join(who: string, wanted: readonly tf.Variable[]): void {
    const strangers = [...new Set(wanted)].filter((variable) => !this.knows(variable));
    if (strangers.length === 0) return;
    const params = withOwnNames(
      strangers,
      this.wrapper.optimizer.parameters.map(({ name }) => name),
    );
    try {
      this.wrapper.addParamGroup({ params });
    } catch (error) {
      throw explained(error, who, strangers);
    }
    for (const variable of strangers) this.#given.add(variable);
    this.joined.push(Object.keys(params));
  }
}

/** Variables by name, and by another where a name is taken: tfjs gives the name of a disposed variable out again. */
function withOwnNames(
  variables: readonly tf.Variable[],
  taken: readonly string[],
): { readonly [name: string]: tf.Variable } {
  const names = new Set(taken);
  return Object.fromEntries(
    variables.map((variable) => {
      let { name } = variable;
      for (let count = 1; names.has(name); count += 1) name = `${variable.name}_${count}`;
      names.add(name);
      return [name, variable];
    }),
  );
}

function explained(error: unknown, who: string, strangers: readonly tf.Variable[]): unknown {
  if (!isOptimError(error) || error.code !== "unsupported") return error;
  return new OptimError("unsupported", who, {
    expected: "variables that the wrapper has, since its optimizer takes no more",
    received: strangers.map(({ name }) => name),
    hint: "Name all variables in the list of the first call, or use an update rule of @mm/optim-rules",
    cause: error,
  });
}

/**
 * Makes the wrapper, and gives it a state that was loaded before. Variables that had joined when that was saved join again first.
 *
 * @throws OptimError `invalid-wrapper`; what `create` and the load throw
 */
export function bind<W extends TfjsWrapper>(
  who: string,
  create: (variables: readonly tf.Variable[]) => W,
  wanted: readonly tf.Variable[],
  loaded: FitState | undefined,
): Binding<W> {
  const { variables, joined } =
    loaded === undefined ? { variables: wanted, joined: [] } : placed(wanted, loaded);
  const wrapper = create(variables);
  requireContract("invalid-wrapper", who, "optim-wrapper", wrapper, hintFor(wrapper));
  const binding = new Binding(wrapper, variables);
  if (loaded === undefined) return binding;
  try {
    for (const group of joined) binding.join(who, group);
    wrapper.prepareLoad(loaded.state, { rename: renamed(loaded.state, wrapper) }).commit();
  } catch (error) {
    wrapper.dispose();
    throw error;
  }
  return binding;
}

/** The variables of a saved state and of the first call, and where they were. */
function placed(
  wanted: readonly tf.Variable[],
  { state, joined }: FitState,
): { readonly variables: readonly tf.Variable[]; readonly joined: readonly (readonly tf.Variable[])[] } {
  const saved = state.optimizer.params.map(({ name }) => name);
  const known = new Map(wanted.map((variable) => [variable.name, variable]));
  if (known.size < saved.length) {
    for (const variable of variablesNamed(saved)) known.set(variable.name, variable);
  }
  const present = pairedNames(saved, [...known.keys()]);
  const groups = joined.map((names) => names.flatMap((name) => known.get(present?.get(name) ?? name) ?? []));
  const later = new Set(groups.flat());
  return { variables: [...known.values()].filter((variable) => !later.has(variable)), joined: groups };
}

function hintFor(given: unknown): string {
  const { kind, then, applyGradients } = Object(given) as { readonly [member: string]: unknown };
  if (kind === "optimizer")
    return "Wrap it in the function: createOptimWrapper(tfjsOptimizer(rule, variables))";
  if (kind === "update-rule")
    return "Give the rule its variables and wrap it: createOptimWrapper(tfjsOptimizer(rule, variables))";
  if (typeof applyGradients === "function")
    return "Give it its variables and wrap it: createOptimWrapper(tfjsOptimizer(tf.train.adam(1e-3), variables))";
  return typeof then === "function"
    ? "The function must be synchronous: training cannot wait for the wrapper"
    : "Return the wrapper from the function that toTfOptimizer is given";
}
