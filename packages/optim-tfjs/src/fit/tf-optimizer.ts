import { refuse } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import type { TfjsLoss } from "../gradients.ts";
import { renamed } from "../renamed.ts";
import { bind, type Binding } from "./binding.ts";
import { findGradients, type FoundGradients, JoiningLoss, lossOf } from "./joining.ts";
import { trainableVariables, variableNamed } from "./variables.ts";
import { type FitState, type NamedWeight, stateOf, weightsOf } from "./weights.ts";
import type { TfjsWrapper } from "./wrapper.ts";

/**
 * A wrapper as a `tf.Optimizer`: made by `toTfOptimizer`.
 *
 * It has the variables of its wrapper. One that the wrapper does not have joins when a call names it, or, without a list, when a loss first
 * reaches it: as a group of its own, with the hyperparameters of the rule. To give it others, call `wrapper.addParamGroup` before. A variable that
 * `create` was given and left out is never trained, and one that was disposed disturbs nothing.
 */
export class TfOptimizer<W extends TfjsWrapper = TfjsWrapper> extends tf.Optimizer {
  readonly #create: (variables: readonly tf.Variable[]) => W;
  readonly #name: string;
  #binding: Binding<W> | undefined;
  /** The state that the wrapper will begin with. */
  #loaded: FitState | undefined;
  /** The tensors that `getWeights` gave out. */
  #weights: readonly tf.Tensor[] = [];
  #disposed = false;

  constructor(create: (variables: readonly tf.Variable[]) => W, name: string) {
    super();
    this.#create = create;
    this.#name = name;
  }

  /** Made at the first `minimize` or `applyGradients`; `undefined` before. */
  get wrapper(): W | undefined {
    return this.#binding?.wrapper;
  }

  /** Calls of `minimize` and `applyGradients` so far, those before a load included: the wrapper's `innerCount`. */
  override get iterations(): number {
    return this.#binding?.wrapper.innerCount ?? this.#loaded?.state.counts.innerCount ?? 0;
  }

  /**
   * One micro-batch: `wrapper.updateParams(loss)`. The closure runs once. With `variables`, only those in the list change. Without, those change
   * that are trainable and that the loss reaches. Where variables join in a call without a list, the gradients are scaled after the backward
   * pass and not before it: the same bits for powers of two.
   *
   * @param returnCost whether to return the loss, neither divided nor scaled, which is the caller's to dispose
   * @throws OptimError what `create` and `updateParams` throw; `no-gradient` where no variable is trainable; `unsupported` where one would
   * join whose optimizer takes no more (a `tf.train` optimizer in a wrapper); `state-mismatch` where a loaded state is not that of these
   * variables: they and the state stay as they were; `disposed`
   */
  override minimize(loss: TfjsLoss, returnCost = false, variables?: tf.Variable[]): tf.Scalar | null {
    const who = this.#live("minimize");
    if (variables !== undefined) {
      requireTrainable(who, variables);
      return this.#train(this.#joined(who, variables), loss, returnCost, variables);
    }
    const binding = this.#binding;
    const known = [...(binding?.variables ?? [])].filter(
      ({ trainable, isDisposed }) => trainable && !isDisposed,
    );
    const strangers = trainableVariables().filter((variable) => binding?.knows(variable) !== true);
    if (strangers.length + known.length === 0) requireTrainable(who, [...(binding?.variables ?? [])]);
    if (binding === undefined || known.length === 0) {
      return this.#take(who, findGradients(loss, strangers, returnCost), returnCost, loss);
    }
    if (strangers.length === 0) return this.#train(binding, loss, returnCost);
    const joining = new JoiningLoss(loss, strangers, known, returnCost);
    try {
      return this.#train(binding, joining.loss, returnCost);
    } catch (error) {
      if (joining.found === undefined || error !== joining) throw error;
      return this.#take(who, joining.found, returnCost, loss);
    }
  }

  /**
   * One micro-batch whose gradients are there already: they are read, and stay the caller's. A call without a gradient (`{}`, all of them `null`,
   * or only of variables that `create` left out) is no micro-batch: nothing is counted or made.
   *
   * @throws OptimError as `minimize`; `unknown-parameter` for a gradient under a name that no live variable has
   */
  override applyGradients(gradients: tf.NamedTensorMap | NamedWeight[]): void {
    const who = this.#live("applyGradients");
    const entries = Array.isArray(gradients)
      ? gradients.map(({ name, tensor }) => [name, tensor] as const)
      : Object.entries(gradients);
    const given = entries.flatMap(([name, tensor]) =>
      (tensor as tf.Tensor | null | undefined) ? [[variableNamed(name, who), tensor] as const] : [],
    );
    if (given.length > 0) this.#apply(who, { value: undefined, gradients: given }, false);
  }

  /**
   * The wrapper's state: one tensor for each slot and pending gradient, and one string of all else. Empty before training began. The tensors
   * are the optimizer's, freed with it or when a later call has its own. Waits for the device.
   */
  override async getWeights(): Promise<NamedWeight[]> {
    const before = this.#weights;
    const state = await this.#state();
    const weights = state === undefined ? [] : weightsOf(state);
    tf.dispose([...before]);
    this.#weights = [...this.#weights, ...weights.map(({ tensor }) => tensor)].filter(
      (tensor) => !tensor.isDisposed,
    );
    return weights;
  }

  /**
   * Takes what `getWeights` gave, here or in another process: at once, or, before training began, when it begins. Tensors are read, and stay
   * the caller's. Parameters are matched by name, or as `renamed` pairs them.
   *
   * @throws OptimError `invalid-state`; `state-mismatch`, then nothing has changed
   */
  override async setWeights(weights: readonly NamedWeight[]): Promise<void> {
    const loaded = await stateOf(weights);
    const { wrapper } = this;
    if (wrapper === undefined) this.#loaded = loaded;
    else await wrapper.loadStateDict(loaded.state, { rename: renamed(loaded.state, wrapper) });
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
    this.#binding?.wrapper.dispose();
    tf.dispose([...this.#weights]);
  }

  /** The name of a call, for messages. @throws OptimError `disposed` */
  #live(call: string): string {
    const who = `${this.#name}: ${call}`;
    if (this.#disposed) refuse("disposed", who, "an optimizer that was not disposed", "a disposed one");
    return who;
  }

  async #state(): Promise<FitState | undefined> {
    const binding = this.#binding;
    if (binding === undefined) return this.#loaded;
    // As of the call: more may join while a device is read.
    const joined = [...binding.joined];
    return { state: await binding.wrapper.stateDict(), joined };
  }

  /** The binding, with these variables in it. */
  #joined(who: string, variables: readonly tf.Variable[]): Binding<W> {
    if (this.#binding === undefined) {
      this.#binding = bind(who, this.#create, variables, this.#loaded);
      this.#loaded = undefined;
    }
    this.#binding.join(who, variables);
    return this.#binding;
  }

  /** `#apply` of what was found, which is freed. */
  #take(who: string, found: FoundGradients, returnLoss: boolean, loss: TfjsLoss): tf.Scalar | null {
    try {
      return this.#apply(who, found, returnLoss, loss);
    } finally {
      tf.dispose([found.value ?? [], ...found.gradients.map(([, gradient]) => gradient)]);
    }
  }

  /** One micro-batch of gradients that are there already. @param loss they are those of this, if there is one */
  #apply(
    who: string,
    { value, gradients }: FoundGradients,
    returnLoss: boolean,
    loss?: TfjsLoss,
  ): tf.Scalar | null {
    const binding = this.#joined(
      who,
      gradients.map(([variable]) => variable),
    );
    const own = gradients.filter(([variable]) => binding.variables.has(variable));
    if (own.length > 0) {
      const only = own.map(([variable]) => variable);
      return this.#train(binding, lossOf({ value, gradients: own }, loss), returnLoss, only);
    }
    return loss === undefined ? null : this.#train(binding, loss, returnLoss);
  }

  /** One micro-batch of the variables in `only`. */
  #train(
    { wrapper, variables }: Binding<W>,
    loss: TfjsLoss,
    returnLoss: boolean,
    only?: readonly tf.Variable[],
  ): tf.Scalar | null {
    // For good: whatever it still has pending is never stepped.
    for (const variable of variables) if (variable.isDisposed) variable.trainable = false;
    const left = [...variables].filter(
      (variable) => variable.trainable && only?.includes(variable) === false,
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
      return wrapper.updateParams(within, { returnLoss }).loss ?? null;
    } finally {
      setTrainable(true);
    }
  }
}

/** @throws OptimError `no-gradient`, as tf.train refuses it */
function requireTrainable(who: string, variables: readonly tf.Variable[]): void {
  if (variables.some(({ trainable }) => trainable)) return;
  refuse(
    "no-gradient",
    who,
    "at least one variable that is trainable",
    variables.map(({ name }) => name),
    { hint: "A model notes at model.compile() what trains: set layer.trainable before it" },
  );
}
