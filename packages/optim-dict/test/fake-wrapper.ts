import {
  type BaseHyperparameters,
  type CountStatus,
  type LoadOptions,
  type LoadReport,
  type LossScaler,
  type LossScalerStateDict,
  OptimError,
  type Optimizer,
  type OptimWrapper,
  type OptimWrapperStateDict,
  type ParamGroup,
  type ParamGroups,
  type PreparedLoad,
  type StateDictOptions,
  type StepMetrics,
} from "@mm/optim-core";

type Phase = "stateDict" | "prepareLoad" | "readMetrics" | "swapIn" | "swapOut";

export interface FakeOptions<H> {
  readonly backend?: string;
  readonly rule?: string;
  /** Hyperparameters of each group, the first standing for the rule's defaults. */
  readonly groups: readonly [H, ...H[]];
  readonly lossScaler?: LossScaler;
  /** Names of its parameters, which a state that is loaded must have too. */
  readonly params?: readonly string[];
  /** Fails in a phase: at the call, or in the promise that it returned. */
  readonly fails?: { readonly phase: Phase; readonly how: "throws" | "rejects"; readonly error?: unknown };
  /** Is told of calls, in order. */
  readonly log?: string[];
}

/**
 * An OptimWrapper written by hand: its whole training is a count of steps. It has no backend, and neither has this test.
 */
export class FakeWrapper<
  Loss = () => number,
  LossValue = number,
  H extends BaseHyperparameters = BaseHyperparameters,
> implements OptimWrapper<Loss, LossValue, H> {
  readonly kind = "optim-wrapper";
  readonly contract = 1;
  readonly backend: string;
  readonly optimizer: Optimizer<Loss, LossValue, H>;
  readonly lossScaler: LossScaler | undefined;
  readonly accumulativeCounts = 1;
  readonly paramGroups: ParamGroups<H>;
  readonly baseParamSettings: ParamGroup<H> | undefined;
  readonly defaults: Readonly<H>;
  declare readonly [Symbol.dispose]: () => void;

  innerCount = 0;
  status: CountStatus | undefined;
  /** The outcome of its training, which a state dict holds. */
  steps = 0;
  /** Loads that were prepared and neither committed nor disposed. */
  staged = 0;
  readonly #params: readonly string[];
  readonly #fails: FakeOptions<H>["fails"];
  readonly #log: string[];

  constructor({
    backend = "fake",
    rule = "SGD",
    groups,
    lossScaler,
    params = ["w"],
    fails,
    log = [],
  }: FakeOptions<H>) {
    const made = groups.map((group, index): ParamGroup<H> => ({ name: String(index), params: [], ...group }));
    this.backend = backend;
    this.optimizer = { kind: "optimizer", contract: 1, backend, rule } as unknown as Optimizer<
      Loss,
      LossValue,
      H
    >;
    this.lossScaler = lossScaler;
    this.paramGroups = made as unknown as ParamGroups<H>;
    this.baseParamSettings = made.length > 1 ? { ...this.paramGroups[0], name: "base" } : undefined;
    this.defaults = groups[0];
    this.#params = params;
    this.#fails = fails;
    this.#log = log;
  }

  readonly updateParams: OptimWrapper<Loss, LossValue, H>["updateParams"] = () => {
    this.backward(undefined as Loss);
    this.step();
    return { updated: true } as never;
  };

  readonly backward: OptimWrapper<Loss, LossValue, H>["backward"] = () => {
    this.innerCount += 1;
    return {} as never;
  };

  step(): void {
    this.steps += 1;
  }

  zeroGrad(): void {
    this.#log.push(`zeroGrad ${this.backend}`);
  }

  skip(): { readonly updated: boolean } {
    return { updated: false };
  }

  flush(): { readonly updated: boolean } {
    return { updated: false };
  }

  lossFactor(): number {
    return 1;
  }

  shouldUpdate(): boolean {
    return true;
  }

  shouldSync(): boolean {
    return true;
  }

  initializeCountStatus(status: CountStatus): void {
    this.status = status;
  }

  optimContext<T>(run: () => T): T {
    return run();
  }

  addParamGroup(): void {}

  getLr(): { readonly lr: readonly number[]; readonly baseLr?: readonly number[] } {
    const base = this.baseParamSettings;
    return { ...(base && { baseLr: [base.lr] }), lr: this.paramGroups.map(({ lr }) => lr) };
  }

  getMomentum(): { readonly momentum: readonly number[] } {
    return {
      momentum: this.paramGroups.map((group) => ("momentum" in group ? (group.momentum as number) : 0)),
    };
  }

  async evaluating<T>(run: () => T | PromiseLike<T>): Promise<T> {
    return run();
  }

  swapIn(): void {
    if (this.#fails?.phase === "swapIn") throw this.#fails.error;
    this.#log.push(`swapIn ${this.backend}`);
  }

  swapOut(): void {
    this.#log.push(`swapOut ${this.backend}`);
    if (this.#fails?.phase === "swapOut") throw this.#fails.error;
  }

  readonly readSlots = (): Promise<never> => Promise.reject(new Error("it has none"));

  freeze(): void {}

  unfreeze(): void {}

  stateDict({ pending = true }: StateDictOptions = {}): Promise<OptimWrapperStateDict> {
    this.#log.push(`stateDict ${this.backend}${pending ? "" : " without pending"}`);
    const steps = this.steps;
    return this.#run("stateDict", async () => ({
      format: "optim-wrapper",
      version: 1,
      optimizer: {
        format: "optim-optimizer",
        version: 1,
        rule: this.optimizer.rule,
        groups: [],
        params: this.#params.map((name) => ({ name, shape: [1], step: steps, slots: {}, scalarSlots: {} })),
        steps,
        skipped: 0,
      },
      counts: { innerCount: steps, windowStart: steps, weightSum: 0 },
      ...(this.lossScaler && { lossScaler: await this.lossScaler.stateDict() }),
    }));
  }

  async loadStateDict(state: OptimWrapperStateDict, options?: LoadOptions): Promise<LoadReport> {
    return this.prepareLoad(state, options).commit();
  }

  prepareLoad({ optimizer }: OptimWrapperStateDict, options: LoadOptions = {}): PreparedLoad {
    const { strict = true, rename = (saved: string) => saved } = options;
    this.#log.push(`prepareLoad ${this.backend}`);
    const names = optimizer.params.map(({ name }) => rename(name));
    const missing = this.#params.filter((name) => !names.includes(name));
    const unexpected = names.filter((name) => !this.#params.includes(name));
    if (this.#fails?.phase === "prepareLoad") throw this.#fails.error;
    if (strict && missing.length + unexpected.length > 0) {
      throw new OptimError("state-mismatch", "state", { expected: "its parameters", missing, unexpected });
    }
    this.staged += 1;
    let open = true;
    const close = (): boolean => {
      const wasOpen = open;
      open = false;
      if (wasOpen) this.staged -= 1;
      return wasOpen;
    };
    return {
      commit: () => {
        if (close()) this.steps = optimizer.steps;
        return { missing, unexpected, changed: [], defaulted: [] };
      },
      dispose: () => void close(),
    };
  }

  readMetrics(): Promise<StepMetrics> {
    return this.#run("readMetrics", () => Promise.resolve({ lossScale: 1, steps: this.steps, skipped: 0 }));
  }

  dispose(): void {
    this.#log.push(`dispose ${this.backend}`);
  }

  #run<T>(phase: Phase, run: () => Promise<T>): Promise<T> {
    if (this.#fails?.phase !== phase) return Promise.resolve().then(run);
    if (this.#fails.how === "throws") throw this.#fails.error;
    // Late, when the others are through.
    return new Promise((_, reject) => setTimeout(() => reject(this.#fails?.error), 5));
  }
}

/** A loss scaler that only holds its numbers. */
export class FakeLossScaler implements LossScaler {
  readonly kind = "loss-scaler";
  readonly contract = 1;
  readonly backend = "fake";
  readonly settings = {
    dynamic: true,
    initScale: 1,
    growthFactor: 2,
    backoffFactor: 0.5,
    growthInterval: 1,
    minScale: 1,
  };
  #scale: number;

  constructor(scale: number) {
    this.#scale = scale;
  }

  update(newScale = this.#scale): void {
    this.#scale = newScale;
  }

  readScale(): Promise<number> {
    return Promise.resolve(this.#scale);
  }

  stateDict(): Promise<LossScalerStateDict> {
    const { initScale, ...settings } = this.settings;
    return Promise.resolve({ ...settings, scale: this.#scale, growthTracker: initScale - 1 });
  }

  prepareLoad({ scale }: LossScalerStateDict): () => void {
    return () => this.update(scale);
  }

  dispose(): void {}
}
