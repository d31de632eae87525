/// <reference lib="esnext.disposable" preserve="true" />
import { aBoolean, aNumber, aPositive, checkOptions } from "./check-options.ts";
import { OptimError } from "./errors.ts";
import type { BaseHyperparameters } from "./hyperparameters.ts";
import type { LossScaler } from "./loss-scaler.ts";
import type {
  CountStatus,
  NotPromise,
  OptimWrapper,
  OptimWrapperOptions,
  UpdateParamsOptions,
  UpdateParamsResult,
  WithLoss,
  WrapperBackwardOptions,
} from "./optim-wrapper.ts";
import type { AddedParamGroup, Optimizer, ParamGroup, ParamGroups, StepMetrics } from "./optimizer.ts";
import { isLossScaler, resolveOptions } from "./options.ts";
import type {
  LoadOptions,
  LoadReport,
  OptimWrapperStateDict,
  PreparedLoad,
  StateDictOptions,
} from "./state.ts";
import { AccumulationWindow, checkCounts } from "./window.ts";

/**
 * Wraps an optimizer of any backend. The wrapper owns it from here: `wrapper.dispose()` disposes it.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function createOptimWrapper<Loss, LossValue, H extends BaseHyperparameters>(
  optimizer: Optimizer<Loss, LossValue, H>,
  options: OptimWrapperOptions = {},
): OptimWrapper<Loss, LossValue, H> {
  return new Wrapper(optimizer, options);
}

/** {@link createOptimWrapper} with `lossScale` defaulting to `"dynamic"`: mixed precision. */
export function createAmpOptimWrapper<Loss, LossValue, H extends BaseHyperparameters>(
  optimizer: Optimizer<Loss, LossValue, H>,
  options: OptimWrapperOptions = {},
): OptimWrapper<Loss, LossValue, H> {
  return new Wrapper(optimizer, { ...options, lossScale: options.lossScale ?? "dynamic" });
}

function isThenable(value: unknown): boolean {
  return typeof (value as { readonly then?: unknown } | null | undefined)?.then === "function";
}

class Wrapper<Loss, LossValue, H extends BaseHyperparameters> implements OptimWrapper<Loss, LossValue, H> {
  readonly kind = "optim-wrapper";
  readonly optimizer: Optimizer<Loss, LossValue, H>;
  readonly #options: OptimWrapperOptions;
  readonly #window: AccumulationWindow;
  readonly lossScaler: LossScaler | undefined;
  readonly #ownsScaler: boolean;
  #insideLoss = false;
  #disposed = false;
  declare readonly [Symbol.dispose]: () => void;

  constructor(optimizer: Optimizer<Loss, LossValue, H>, options: OptimWrapperOptions) {
    if ((optimizer as Partial<typeof optimizer> | undefined)?.kind !== "optimizer") {
      throw new OptimError("invalid-option", "createOptimWrapper", {
        expected: "an optimizer",
        received: optimizer,
      });
    }
    this.optimizer = optimizer;
    this.#options = resolveOptions(options);
    this.#window = new AccumulationWindow(this.#options.accumulativeCounts ?? 1);
    const { lossScale } = this.#options;
    const shared = isLossScaler(lossScale);
    this.#ownsScaler = !shared;
    if (shared && lossScale.backend !== this.backend) {
      throw new OptimError("invalid-option", "lossScale", {
        expected: `a scaler of ${this.backend}`,
        received: lossScale.backend,
      });
    }
    this.lossScaler = shared
      ? lossScale
      : lossScale === undefined
        ? undefined
        : optimizer.createLossScaler(lossScale);
    if ((Symbol.dispose as symbol | undefined) !== undefined) {
      Object.defineProperty(this, Symbol.dispose, { value: () => this.dispose() });
    }
  }

  // The straight path.

  readonly updateParams = <const R extends boolean = false>(
    loss: Loss,
    options: UpdateParamsOptions<R> = {},
  ): UpdateParamsResult<LossValue, R> => {
    const { returnLoss, weight } = checkOptions("updateParams", options, {
      returnLoss: aBoolean,
      weight: aPositive,
    });
    this.#guard("updateParams");
    const scale = (weight ?? 1) / this.lossFactor();
    const result = this.#backward(loss, scale, returnLoss, weight !== undefined);
    const updated = this.shouldUpdate();
    if (updated) {
      this.step({ rescale: this.#window.rescale(false) });
      this.zeroGrad();
    }
    return { updated, ...result };
  };

  readonly backward = <const R extends boolean = false>(
    loss: Loss,
    options: WrapperBackwardOptions<R> = {},
  ): WithLoss<LossValue, R> => {
    const { returnLoss, scale = 1 } = checkOptions("backward", options, {
      returnLoss: aBoolean,
      scale: aNumber,
    });
    this.#guard("backward");
    return this.#backward(loss, scale, returnLoss, false);
  };

  #backward<R extends boolean>(
    loss: Loss,
    scale: number,
    returnLoss: R | undefined,
    weighted: boolean,
  ): WithLoss<LossValue, R> {
    this.#window.admit();
    this.#insideLoss = true;
    try {
      const value = this.#inContext(() =>
        this.optimizer.backward(loss, { scale, lossScaler: this.lossScaler, returnLoss }),
      );
      this.#window.add(scale, weighted);
      return (returnLoss === true ? { loss: value } : {}) as WithLoss<LossValue, R>;
    } finally {
      this.#insideLoss = false;
    }
  }

  step({ rescale = 1 }: { readonly rescale?: number } = {}): void {
    this.#guard("step");
    const { clipGrad, onNonFinite = "propagate", gradNorm = false } = this.#options;
    this.optimizer.step({ rescale, clipGrad, lossScaler: this.lossScaler, onNonFinite, gradNorm });
    if (this.#ownsScaler) this.lossScaler?.update();
  }

  zeroGrad(): void {
    this.#guard("zeroGrad");
    this.optimizer.zeroGrad();
    this.#window.restart();
  }

  flush(): { readonly updated: boolean } {
    this.#guard("flush");
    if (this.#window.isEmpty) return { updated: false };
    this.step({ rescale: this.#window.rescale(true) });
    this.zeroGrad();
    return { updated: true };
  }

  // The window.

  lossFactor(): number {
    return this.#window.length();
  }

  shouldUpdate(): boolean {
    return this.#window.isBoundary(this.innerCount);
  }

  shouldSync(): boolean {
    return this.#window.isBoundary(this.innerCount + 1);
  }

  get innerCount(): number {
    return this.#window.count;
  }

  get accumulativeCounts(): number {
    return this.#window.size;
  }

  initializeCountStatus(status: CountStatus): void {
    this.#guard("initializeCountStatus");
    this.#window.initialize(status);
  }

  optimContext<T>(run: () => NotPromise<T>): T {
    this.#guard("optimContext");
    const value = this.#inContext<unknown>(run);
    if (isThenable(value))
      throw new OptimError("invalid-option", "optimContext", { expected: "a synchronous function" });
    return value as T;
  }

  #inContext<T>(run: () => T): T {
    const { context } = this.optimizer;
    return context === undefined ? run() : context({ sync: this.shouldSync() }, run);
  }

  // The optimizer.

  get backend(): string {
    return this.optimizer.backend;
  }

  get paramGroups(): ParamGroups<H> {
    return this.optimizer.paramGroups;
  }

  get baseParamSettings(): ParamGroup<H> | undefined {
    return this.optimizer.baseParamSettings;
  }

  get defaults(): Readonly<H> {
    return this.optimizer.defaults;
  }

  addParamGroup(group: AddedParamGroup<H>): void {
    this.#guard("addParamGroup");
    this.optimizer.addParamGroup(group);
  }

  getLr(): { readonly lr: readonly number[]; readonly baseLr?: readonly number[] } {
    const base = this.baseParamSettings;
    return { ...(base && { baseLr: [base.lr] }), lr: this.paramGroups.map((group) => group.lr) };
  }

  getMomentum(): { readonly momentum: readonly number[] } {
    const groups = this.paramGroups as readonly object[] as readonly {
      readonly momentum?: number;
      readonly betas?: readonly number[];
    }[];
    return { momentum: groups.map(({ momentum, betas }) => momentum ?? betas?.[0] ?? 0) };
  }

  freeze(names: readonly string[]): void {
    this.#guard("freeze");
    this.optimizer.freeze(names);
  }

  unfreeze(names: readonly string[]): void {
    this.#guard("unfreeze");
    this.optimizer.unfreeze(names);
  }

  async readMetrics(): Promise<StepMetrics> {
    this.#guard("readMetrics");
    return this.optimizer.readMetrics(this.lossScaler);
  }

  // State.

  async stateDict(options: StateDictOptions = {}): Promise<OptimWrapperStateDict> {
    this.#guard("stateDict");
    const counts = this.#window.save(options.pending !== false);
    const [optimizer, lossScaler] = await Promise.all([
      this.optimizer.stateDict(options),
      this.lossScaler?.stateDict(),
    ]);
    return { format: "optim-wrapper", version: 1, optimizer, counts, ...(lossScaler && { lossScaler }) };
  }

  async loadStateDict(state: OptimWrapperStateDict, options: LoadOptions = {}): Promise<LoadReport> {
    return (await this.prepareLoad(state, options)).commit();
  }

  async prepareLoad(state: OptimWrapperStateDict, options: LoadOptions = {}): Promise<PreparedLoad> {
    this.#guard("prepareLoad");
    const { format, version, counts, lossScaler, optimizer } = Object(
      state,
    ) as Partial<OptimWrapperStateDict>;
    if (format !== "optim-wrapper" || version !== 1 || counts === undefined || optimizer === undefined) {
      throw new OptimError("invalid-state", "prepareLoad", {
        expected: "a wrapper's state, version 1",
        received: state,
      });
    }
    const saved = checkCounts(counts);
    const { restore = {} } = options;
    const commitScaler =
      lossScaler !== undefined && restore.lossScaler !== false
        ? this.lossScaler?.prepareLoad(lossScaler)
        : undefined;
    const prepared = await this.optimizer.prepareLoad(optimizer, options);
    return {
      commit: () => {
        const report = prepared.commit();
        if (this.#disposed) return report;
        commitScaler?.();
        if (restore.counts === false) this.#window.restart();
        else this.#window.load(saved, restore.pending !== false);
        return report;
      },
      dispose: () => prepared.dispose(),
    };
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#guard("dispose");
    this.#disposed = true;
    this.optimizer.dispose();
    if (this.#ownsScaler) this.lossScaler?.dispose();
  }

  #guard(call: string): void {
    if (this.#disposed) throw new OptimError("disposed", call, { expected: "a live wrapper" });
    if (this.#insideLoss)
      throw new OptimError("reentrant", call, { expected: "no call from its own loss closure" });
  }
}
