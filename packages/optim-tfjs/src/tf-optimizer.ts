import { OptimError, type OptimWrapper, type OptimWrapperStateDict } from "@mm/optim-core";
import * as tf from "@tensorflow/tfjs-core";
import type { TfjsLoss } from "./gradients.ts";
import { type NamedWeight, stateOf, weightsOf } from "./weights.ts";

/** An optimizer wrapper over tfjs variables, of any rule. */
export type TfjsWrapper = OptimWrapper<TfjsLoss, tf.Scalar>;

export interface TfOptimizerOptions {
  /**
   * Under what name `model.save` notes the optimizer, and {@link registerTfOptimizer} finds the function that makes it. Not one of tfjs's
   * own, and without `_`, which tfjs changes when it loads. Default `"OptimWrapper"`.
   */
  readonly name?: string;
}

/**
 * A `tf.Optimizer` out of a wrapper, for `model.compile({ optimizer })` and whatever else takes one. Variables are known only when training
 * begins: `create` is called with them at the first `minimize` or `applyGradients`, once.
 *
 * `minimize` is `wrapper.updateParams`, so that numbers are those of a loop of one's own to the bit: a call is one micro-batch, and steps
 * when its window is full. Whatever else the wrapper can do, `optimizer.wrapper` or the closure over `create` does: schedules, metrics,
 * `flush()` at the end of an epoch.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 *
 * @example
 * ```ts
 * const optimizer = toTfOptimizer((variables) =>
 *   createOptimWrapper(tfjsOptimizer(adamw({ lr: 1e-3 }), variables), { clipGrad: { maxNorm: 1 } }),
 * );
 * model.compile({ optimizer, loss: "meanSquaredError" });
 * await model.fit(x, y, { epochs: 10 });
 * ```
 */
export function toTfOptimizer<W extends TfjsWrapper>(
  create: (variables: readonly tf.Variable[]) => W,
  options: TfOptimizerOptions = {},
): TfOptimizer<W> {
  return new TfOptimizer(create, checkedName("toTfOptimizer", create, options));
}

/**
 * Tells tfjs how to make the optimizer of a model that was saved with it (`model.save(url, { includeOptimizer: true })`), as
 * `tf.serialization.registerClass` does for layers of one's own. `tf.loadLayersModel(url)` then gives a compiled model that trains on as if it
 * had never been saved, to the bit. Later calls replace earlier ones of the same name.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function registerTfOptimizer(
  create: (variables: readonly tf.Variable[]) => TfjsWrapper,
  options: TfOptimizerOptions = {},
): void {
  const className = checkedName("registerTfOptimizer", create, options);
  const registered: Registered = {
    className,
    fromConfig: () => new TfOptimizer(create, className),
    createWrapper: create,
  };
  // tfjs takes a class, of which it uses these two members.
  tf.serialization.registerClass(
    registered as unknown as tf.serialization.SerializableConstructor<tf.Optimizer>,
  );
}

interface Registered {
  readonly className: string;
  readonly fromConfig: () => tf.Optimizer;
  readonly createWrapper: (variables: readonly tf.Variable[]) => TfjsWrapper;
}

interface Bound<W> {
  readonly wrapper: W;
  readonly variables: ReadonlySet<tf.Variable>;
}

/** What {@link toTfOptimizer} makes. */
export class TfOptimizer<W extends TfjsWrapper = TfjsWrapper> extends tf.Optimizer {
  readonly #create: (variables: readonly tf.Variable[]) => W;
  readonly #name: string;
  #bound: Bound<W> | undefined;
  /** The state that the wrapper will begin with. */
  #loaded: OptimWrapperStateDict | undefined;
  /** What `getWeights` gave out. */
  #weights: readonly tf.Tensor[] = [];
  #disposed = false;

  constructor(create: (variables: readonly tf.Variable[]) => W, name: string) {
    super();
    this.#create = create;
    this.#name = name;
  }

  /** Made at the first `minimize` or `applyGradients`; `undefined` before. */
  get wrapper(): W | undefined {
    return this.#bound?.wrapper;
  }

  /** Calls of `minimize` and `applyGradients` so far, those before a load included: the wrapper's `innerCount`. */
  override get iterations(): number {
    return this.#bound?.wrapper.innerCount ?? this.#loaded?.counts.innerCount ?? 0;
  }

  /**
   * One micro-batch: `wrapper.updateParams(loss)`. Without `variables`, those of the first call; of the very first, all that are trainable
   * then. Of those that the wrapper has and that are left out here, none changes.
   *
   * @param returnCost whether to return the loss, neither divided nor scaled, which is the caller's to dispose
   * @throws OptimError what `create` and `updateParams` throw; `unknown-parameter` for a variable that the first call did not have;
   * `state-mismatch` where a loaded state is not that of these variables: they and the state stay as they were; `disposed`
   */
  override minimize(loss: TfjsLoss, returnCost = false, variables?: tf.Variable[]): tf.Scalar | null {
    const bound = this.#bind("minimize", variables);
    const left = [...bound.variables].filter(
      (variable) => variable.trainable && variables?.includes(variable) === false,
    );
    const setTrainable = (trainable: boolean): void => {
      for (const variable of left) variable.trainable = trainable;
    };
    // Frozen while gradients are asked for, not while the window is stepped: they may have gradients of other calls.
    setTrainable(false);
    const within: TfjsLoss = () => {
      setTrainable(true);
      return loss();
    };
    try {
      return bound.wrapper.updateParams(within, { returnLoss: returnCost }).loss ?? null;
    } finally {
      setTrainable(true);
    }
  }

  /**
   * One micro-batch whose gradients are there already: they are read, and stay the caller's. Without a gradient, `{}` or all `null`, it is
   * none: nothing is counted or made.
   *
   * @throws OptimError as `minimize`
   */
  override applyGradients(gradients: tf.NamedTensorMap | NamedWeight[]): void {
    const entries = Array.isArray(gradients)
      ? gradients.map(({ name, tensor }) => [name, tensor] as const)
      : Object.entries(gradients);
    const variables = entries.map(([name]) => registeredVariable(name));
    const given = entries.flatMap(([, tensor], index) =>
      (tensor as tf.Tensor | null | undefined) ? [[variables[index] as tf.Variable, tensor] as const] : [],
    );
    if (given.length === 0) return this.#requireLive("applyGradients");
    this.#bind("applyGradients", variables);
    const fixed = tf.customGrad<tf.Scalar>(() => ({
      value: tf.scalar(0),
      gradFunc: (seed) => given.map(([, gradient]) => tf.mul(gradient, seed)),
    }));
    this.minimize(() => fixed(...given.map(([variable]) => variable)));
  }

  /**
   * The wrapper's state: one tensor for each slot and pending gradient, and one string of all else. Empty before training began. The tensors
   * are the optimizer's, freed with it or when a later call has its own. Waits for the device.
   */
  override async getWeights(): Promise<NamedWeight[]> {
    const before = this.#weights;
    const state = await (this.#bound?.wrapper.stateDict() ?? Promise.resolve(this.#loaded));
    const weights = state === undefined ? [] : weightsOf(state);
    tf.dispose([...before]);
    this.#weights = [...this.#weights, ...weights.map(({ tensor }) => tensor)].filter(
      (tensor) => !tensor.isDisposed,
    );
    return weights;
  }

  /**
   * Takes what `getWeights` gave, here or in another process: at once, or, before training began, when it begins. Tensors are read, and stay
   * the caller's. Parameters are matched by name; or in order, where the names are the same but for the numbers that tfjs gives them.
   *
   * @throws OptimError `invalid-state`; `state-mismatch`, then nothing has changed
   */
  override async setWeights(weights: readonly NamedWeight[]): Promise<void> {
    const state = await stateOf(weights);
    const { wrapper } = this;
    if (wrapper === undefined) this.#loaded = state;
    else await wrapper.loadStateDict(state, renamed(state, wrapper));
  }

  /** Nothing: what can be saved is in the weights, and what makes the wrapper is code. */
  override getConfig(): tf.serialization.ConfigDict {
    return {};
  }

  override getClassName(): string {
    return this.#name;
  }

  /** Disposes the wrapper and frees what `getWeights` gave. A model does not do it: it disposes optimizers of its own alone. */
  override dispose(): void {
    this.#disposed = true;
    this.#loaded = undefined;
    this.#bound?.wrapper.dispose();
    tf.dispose([...this.#weights]);
  }

  #requireLive(call: string): void {
    if (!this.#disposed) return;
    const who = `${this.#name}: ${call}`;
    throw new OptimError("disposed", who, { expected: "one that was not disposed" });
  }

  #bind(call: string, wanted?: readonly tf.Variable[]): Bound<W> {
    const who = `${this.#name}: ${call}`;
    this.#requireLive(call);
    this.#bound ??= this.#made(who, new Set(wanted ?? trainableVariables()));
    const { variables } = this.#bound;
    const unknown = (wanted ?? []).filter((variable) => !variables.has(variable));
    if (unknown.length > 0) {
      throw new OptimError("unknown-parameter", who, {
        expected: "variables of its first call",
        received: unknown.map(({ name }) => name),
        hint: "Compile with another optimizer for other variables: one of toTfOptimizer has one set for its life",
      });
    }
    return this.#bound;
  }

  #made(who: string, variables: ReadonlySet<tf.Variable>): Bound<W> {
    const wrapper = this.#create([...variables]);
    if ((wrapper as Partial<W> | undefined)?.kind !== "optim-wrapper") {
      throw new OptimError("invalid-wrapper", who, {
        expected: "a wrapper of createOptimWrapper from the function given to toTfOptimizer",
        received: wrapper,
      });
    }
    if (this.#loaded !== undefined) {
      try {
        wrapper.prepareLoad(this.#loaded, renamed(this.#loaded, wrapper)).commit();
      } catch (error) {
        wrapper.dispose();
        throw error;
      }
      this.#loaded = undefined;
    }
    return { wrapper, variables };
  }
}

/** The present names of the parameters of a state, where they are the saved ones in order but for numbers. */
function renamed(
  state: OptimWrapperStateDict,
  { optimizer }: TfjsWrapper,
): { readonly rename?: (saved: string) => string } {
  const saved = state.optimizer.params;
  const current = optimizer.parameters;
  const same = ({ name }: { readonly name: string }, index: number): boolean =>
    unnumbered(name) === unnumbered(current[index]?.name ?? "");
  if (saved.length !== current.length || !saved.every(same)) return {};
  const names = new Map(saved.map(({ name }, index) => [name, current[index]?.name]));
  return { rename: (name) => names.get(name) ?? name };
}

/** tfjs numbers layers and variables over the whole process: `dense_Dense3/kernel_1` may be `dense_Dense1/kernel` of another one. */
const unnumbered = (name: string): string => name.replace(/[_\d]/g, "");

function registeredVariable(name: string): tf.Variable {
  const variable = (tf.engine().registeredVariables as { readonly [name: string]: tf.Variable | undefined })[
    name
  ];
  if (variable !== undefined) return variable;
  throw new OptimError("unknown-parameter", "applyGradients", {
    expected: "names of variables",
    received: name,
  });
}

/** Of the whole process, as tfjs takes them. What is not float32 has no gradient. */
function trainableVariables(): tf.Variable[] {
  return Object.values(tf.engine().registeredVariables).filter(
    ({ trainable, dtype }) => trainable && dtype === "float32",
  );
}

function checkedName(who: string, create: unknown, options: TfOptimizerOptions): string {
  if (typeof create !== "function") {
    throw new OptimError("invalid-option", who, {
      expected: "a function that makes a wrapper from variables",
      received: create,
      hint: "Variables are known only when training begins: (variables) => createOptimWrapper(tfjsOptimizer(rule, variables))",
    });
  }
  if (Object(options) !== options) {
    throw new OptimError("invalid-option", `${who}: options`, { expected: "an object", received: options });
  }
  const unknown = Object.keys(options).find((option) => option !== "name");
  if (unknown !== undefined) {
    throw new OptimError("unknown-option", who, { expected: "name", received: unknown });
  }
  const { name = "OptimWrapper" } = options;
  const known = (classNames() as { readonly [name: string]: readonly [object] | undefined })[name];
  if (typeof name === "string" && /^[^_]+$/.test(name) && (!known || "createWrapper" in known[0])) {
    return name;
  }
  throw new OptimError("invalid-option", `${who}: name`, {
    expected: "a name without _ that tfjs does not use itself",
    received: name,
  });
}

const classNames = (): object => tf.serialization.SerializationMap.getMap().classNameMap;
