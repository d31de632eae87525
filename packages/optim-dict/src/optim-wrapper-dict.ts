/// <reference lib="esnext.disposable" preserve="true" />
import type {
  AnyOptimWrapper,
  CountStatus,
  LoadReport,
  MetricsOptions,
  PreparedLoad,
  StateDictOptions,
} from "@mm/optim-core";
import { evaluateSwapped, refuse } from "@mm/optim-core/backend";
import type { CallOneWrapper } from "./ambiguous.ts";
import type {
  CountStatusByName,
  LrByName,
  MetricsByName,
  MomentumByName,
  WrapperRecord,
  ParamGroupsByName,
  WrapperEntry,
  WrapperName,
} from "./by-name.ts";
import { gather, gatherSync } from "./gather.ts";
import { dictName, list } from "./names.ts";
import { type DictLoadOptions, type OptimWrapperDictStateDict, prepareWrappers } from "./state.ts";
import { checkedWrappers, type Wrappers } from "./wrappers.ts";

/**
 * Several optimizer wrappers under names, for loops with several optimizers: GAN, actor-critic. Reads like a `ReadonlyMap` with typed
 * keys; the wrappers may be of different backends. Which one takes a step the loop says: `optim.get("generator").updateParams(…)`.
 *
 * @example
 * ```ts
 * const optim = new OptimWrapperDict({
 *   generator: createOptimWrapper(tfjsOptimizer(adam({ lr: 2e-4 }), generatorVariables)),
 *   discriminator: createOptimWrapper(tfjsOptimizer(sgd({ lr: 1e-3 }), discriminatorVariables)),
 * });
 * optim.get("discriminator").updateParams(() => discriminatorLoss(batch));
 * optim.get("generator").updateParams(() => generatorLoss(batch));
 * optim.getLr(); // { "generator.lr": [2e-4], "discriminator.lr": [1e-3] }
 * ```
 */
export class OptimWrapperDict<const W extends WrapperRecord<W>> {
  /** A dict is never an `OptimWrapper`. */
  readonly kind = "optim-wrapper-dict" as const;
  readonly #wrappers: Wrappers;
  /** `dispose()`, for `using`, where the symbol exists. */
  declare readonly [Symbol.dispose]: () => void;

  /**
   * The order is that of the record, which is copied: changing it later does not change the dict. Without any wrapper it is a dict
   * all the same, as MMEngine's is.
   *
   * @throws OptimError `invalid-option` for anything but a record, `invalid-name` for a name that is empty or holds a `.`,
   * `invalid-wrapper` for what is no wrapper (a dict, an optimizer), `contract-mismatch`, `duplicate-wrapper`
   */
  constructor(wrappers: W) {
    this.#wrappers = checkedWrappers(wrappers);
    // Where the symbol does not exist, the same key again.
    Object.defineProperty(this, (Symbol.dispose as symbol | undefined) ?? "dispose", { value: this.dispose });
    Object.defineProperty(this, Symbol.for("nodejs.util.inspect.custom"), { value: this.toString });
  }

  // The map.

  /** @throws OptimError `unknown-name`, which lists the names; unknown names do not compile either */
  get<K extends WrapperName<W>>(name: K): W[K] {
    const wrapper = this.#wrappers.get(name) as W[K] | undefined;
    return wrapper ?? refuse("unknown-name", dictName, `one of ${list(this.keys())}`, name);
  }

  /** Narrows a string to a name. */
  has(name: string): name is WrapperName<W> {
    return this.#wrappers.has(name);
  }

  get size(): number {
    return this.#wrappers.size;
  }

  keys(): IterableIterator<WrapperName<W>> {
    return this.#wrappers.keys() as IterableIterator<WrapperName<W>>;
  }

  values(): IterableIterator<W[WrapperName<W>]> {
    return this.#wrappers.values() as IterableIterator<W[WrapperName<W>]>;
  }

  /** Pairs of name and wrapper; comparing the name narrows the wrapper. */
  entries(): IterableIterator<WrapperEntry<W>> {
    return this.#wrappers.entries() as IterableIterator<unknown> as IterableIterator<WrapperEntry<W>>;
  }

  /** MMEngine's name of `entries()`. */
  items(): IterableIterator<WrapperEntry<W>> {
    return this.entries();
  }

  [Symbol.iterator](): IterableIterator<WrapperEntry<W>> {
    return this.entries();
  }

  /** As a map's, in its order: the wrapper, then its name. */
  forEach(run: (wrapper: W[WrapperName<W>], name: WrapperName<W>) => void): void {
    for (const [name, wrapper] of this) run(wrapper, name);
  }

  /** One line per wrapper: name, rule, backend and learning rates. `console.log` shows it in Node. */
  toString(): string {
    let text = dictName;
    for (const [name, wrapper] of this.#wrappers) {
      text += `\n  ${name}: ${wrapper.optimizer.rule} on ${wrapper.backend}, lr ${list(wrapper.getLr().lr)}`;
    }
    return text;
  }

  // All wrappers.

  /** Drops the gradients of every wrapper, in order. */
  zeroGrad(): void {
    this.#wrappers.forEach((wrapper) => wrapper.zeroGrad());
  }

  /** The live groups of every wrapper, by its name. */
  get paramGroups(): ParamGroupsByName<W> {
    return Object.fromEntries(
      [...this.#wrappers].map(([name, wrapper]) => [name, wrapper.paramGroups]),
    ) as ParamGroupsByName<W>;
  }

  /** `{ "generator.baseLr": […], "generator.lr": […], … }`: one number per group. */
  getLr(): LrByName<W> {
    return this.#flat((wrapper) => wrapper.getLr()) as LrByName<W>;
  }

  /** `{ "generator.momentum": […], … }`: one number per group. */
  getMomentum(): MomentumByName<W> {
    return this.#flat((wrapper) => wrapper.getMomentum()) as MomentumByName<W>;
  }

  /**
   * Of every wrapper, by its name. Waits for the device.
   *
   * @throws OptimError what the wrappers' reads reject with, all in one error that names them
   */
  async readMetrics(options?: MetricsOptions): Promise<MetricsByName<W>> {
    return Object.fromEntries(
      await gather(this.#wrappers, (wrapper) => wrapper.readMetrics(options)),
    ) as MetricsByName<W>;
  }

  /**
   * Tells the wrappers that are named how long they run: `{ discriminator: { maxCounts: 1000 } }`. The first that refuses ends it.
   *
   * One status for all does nothing, as MMEngine's, since wrappers take different numbers of steps; it is taken so that a loop can
   * hold either a wrapper or a dict. The price: a last window that is short is neither stepped nor divided by its own length
   * (`flush()` does it by hand).
   *
   * @throws OptimError `unknown-name`, nothing changed; `window-open` or `invalid-option` of a wrapper
   */
  initializeCountStatus(status: CountStatus | CountStatusByName<W>): void {
    const entries = Object.entries(status) as [WrapperName<W>, CountStatus | number | undefined][];
    const named = entries.flatMap(([name, value]) =>
      typeof value === "object" ? [[this.get(name), value] as const] : [],
    );
    for (const [wrapper, value] of named) wrapper.initializeCountStatus(value);
  }

  /**
   * Runs `run` while the parameters of all wrappers hold the evaluation point of their rules, then puts back what was trained. See
   * `OptimWrapper.evaluating`.
   *
   * ```ts
   * const images = await optim.evaluating(() => sample(generator));
   * ```
   *
   * @throws OptimError `invalid-option` for what is no function; as `swapIn`
   */
  async evaluating<T>(run: () => T | PromiseLike<T>): Promise<T> {
    return evaluateSwapped(this, run);
  }

  /**
   * The first half of `evaluating`: all wrappers swap in, or none does.
   *
   * @throws OptimError `evaluating` and what else the wrappers throw, all in one error that names them
   */
  swapIn(): void {
    gatherSync(this.#wrappers, (wrapper) => {
      wrapper.swapIn();
      return { dispose: () => wrapper.swapOut() };
    });
  }

  /** The second half, of every wrapper, also where one of them throws. Without the first it does nothing. */
  swapOut(): void {
    gatherSync(this.#wrappers, (wrapper) => {
      wrapper.swapOut();
      return { dispose: () => {} };
    });
  }

  /** The wrappers' snapshots, all taken in the tick of the call. Waits for the device. */
  async stateDict(options?: StateDictOptions): Promise<OptimWrapperDictStateDict<WrapperName<W>>> {
    const wrappers = Object.fromEntries(
      await gather(this.#wrappers, (wrapper) => wrapper.stateDict(options)),
    );
    return { format: "optim-wrapper-dict", version: 1, wrappers } as OptimWrapperDictStateDict<
      WrapperName<W>
    >;
  }

  /**
   * `prepareLoad` and `commit` in one: all wrappers take their part of the state in one tick, or none does. Rejects where `prepareLoad`
   * throws.
   *
   * @throws OptimError as `prepareLoad`
   */
  async loadStateDict(
    state: OptimWrapperDictStateDict,
    options?: DictLoadOptions<WrapperName<W>>,
  ): Promise<LoadReport> {
    return this.prepareLoad(state, options).commit();
  }

  /**
   * Checks and stages the state of every wrapper; throws before anything changed, and then nothing stays staged. `strict` (default)
   * wants exactly the wrappers that the dict has; without it, those that both have are loaded. The report names a wrapper, or
   * `generator.w1` for what is within one.
   *
   * @throws OptimError `invalid-state`; `state-mismatch`, with all names that are missing or unexpected, and for wrappers that share a
   * loss scaler of which the state holds different copies; what the wrappers throw, all in one error that names them
   */
  prepareLoad(state: OptimWrapperDictStateDict, options?: DictLoadOptions<WrapperName<W>>): PreparedLoad {
    return prepareWrappers(this.#wrappers, state, options as DictLoadOptions | undefined);
  }

  /** Disposes every wrapper. Twice is fine. */
  dispose(): void {
    this.#wrappers.forEach((wrapper) => wrapper.dispose());
  }

  // One wrapper must take these: they do not compile, and throw `ambiguous-wrapper`.

  updateParams(this: CallOneWrapper<"updateParams">, ...given: readonly unknown[]): never;
  updateParams(): never {
    return this.#ambiguous("updateParams");
  }

  backward(this: CallOneWrapper<"backward">, ...given: readonly unknown[]): never;
  backward(): never {
    return this.#ambiguous("backward");
  }

  step(this: CallOneWrapper<"step">, ...given: readonly unknown[]): never;
  step(): never {
    return this.#ambiguous("step");
  }

  optimContext(this: CallOneWrapper<"optimContext">, ...given: readonly unknown[]): never;
  optimContext(): never {
    return this.#ambiguous("optimContext");
  }

  #ambiguous(method: string): never {
    return refuse("ambiguous-wrapper", method, `get(name).${method}, with one of ${list(this.keys())}`, this);
  }

  #flat(read: (wrapper: AnyOptimWrapper) => object): object {
    return Object.fromEntries(
      [...this.#wrappers].flatMap(([name, wrapper]) =>
        Object.entries(read(wrapper)).map(([key, value]) => [`${name}.${key}`, value]),
      ),
    );
  }
}

/** A dict of whatever wrappers, for functions that take any: `get` gives what all wrappers have. */
export type AnyOptimWrapperDict = Pick<DynamicDict, keyof DynamicDict>;

// Names from a configuration, say. Pick compares its members, where the class itself would compare its type parameter.
type DynamicDict = OptimWrapperDict<{ readonly [name: string]: AnyOptimWrapper }>;
