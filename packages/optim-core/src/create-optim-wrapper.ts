/// <reference lib="esnext.disposable" preserve="true" />
import { refuse } from "./errors.ts";
import type { BaseHyperparameters } from "./hyperparameters.ts";
import { isLossScaler, type LossScaler } from "./loss-scaler.ts";
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
import type { Optimizer } from "./optimizer.ts";
import type { LoadOptions, OptimWrapperStateDict, PreparedLoad, WindowCounts } from "./state.ts";
import { extended, isBoundary, rescaleOf, restarted, windowLength } from "./window.ts";

/** {@link createOptimWrapper} with `lossScale` defaulting to `"dynamic"`: mixed precision. */
export function createAmpOptimWrapper<Loss, LossValue, H extends BaseHyperparameters>(
  optimizer: Optimizer<Loss, LossValue, H>,
  options: OptimWrapperOptions = {},
): OptimWrapper<Loss, LossValue, H> {
  return createOptimWrapper(optimizer, { ...options, lossScale: options.lossScale ?? "dynamic" });
}

/**
 * Wraps an optimizer of any backend. The wrapper owns it from here: `wrapper.dispose()` disposes it.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function createOptimWrapper<Loss, LossValue, H extends BaseHyperparameters>(
  optimizer: Optimizer<Loss, LossValue, H>,
  options: OptimWrapperOptions = {},
): OptimWrapper<Loss, LossValue, H> {
  if ((optimizer as Partial<typeof optimizer> | undefined)?.kind !== "optimizer") {
    refuse("invalid-option", "createOptimWrapper", "an optimizer", optimizer);
  }
  optimizer.check("createOptimWrapper", options);
  const { accumulativeCounts = 1, lossScale, clipGrad, ...others } = options;
  const settings = { ...others, clipGrad: clipGrad && { ...clipGrad } };
  let own: LossScaler | undefined;
  const lossScaler =
    lossScale === undefined || isLossScaler(lossScale)
      ? lossScale
      : (own = optimizer.createLossScaler(lossScale));
  let counts: WindowCounts = restarted({ innerCount: 0 });

  const inContext = <T>(run: () => T): T =>
    optimizer.context ? optimizer.context({ sync: wrapper.shouldSync() }, run) : run();
  const differentiate = <R extends boolean>(
    loss: Loss,
    scale: number,
    returnLoss: R | undefined,
    weighted: boolean,
  ): WithLoss<LossValue, R> => {
    const value = inContext(() => optimizer.backward(loss, { scale, lossScaler, returnLoss }));
    counts = extended(counts, scale, weighted);
    return (returnLoss ? { loss: value } : {}) as WithLoss<LossValue, R>;
  };
  const finish = (short: boolean): true => {
    wrapper.step({ rescale: rescaleOf(counts, short) });
    wrapper.zeroGrad();
    return true;
  };
  // Where the symbol does not exist, the same key again.
  const disposeKey: typeof Symbol.dispose = ((Symbol as { readonly dispose?: symbol }).dispose ??
    "dispose") as typeof Symbol.dispose;
  const dispose = (): void => {
    optimizer.dispose();
    own?.dispose();
    own = undefined;
  };

  const wrapper = {
    kind: "optim-wrapper",
    backend: optimizer.backend,
    optimizer,
    lossScaler,
    accumulativeCounts,

    updateParams<const R extends boolean = false>(
      loss: Loss,
      given: UpdateParamsOptions<R> = {},
    ): UpdateParamsResult<LossValue, R> {
      optimizer.check("updateParams", given);
      const { returnLoss, weight } = given;
      const scale = (weight ?? 1) / wrapper.lossFactor();
      const result = differentiate(loss, scale, returnLoss, weight !== undefined);
      return { updated: wrapper.shouldUpdate() && finish(false), ...result };
    },
    backward<const R extends boolean = false>(
      loss: Loss,
      given: WrapperBackwardOptions<R> = {},
    ): WithLoss<LossValue, R> {
      optimizer.check("backward", given);
      wrapper.lossFactor(); // Throws past maxCounts.
      return differentiate(loss, given.scale ?? 1, given.returnLoss, false);
    },
    step(given: { readonly rescale?: number } = {}) {
      optimizer.check("step", given);
      optimizer.step({ ...settings, ...given, lossScaler });
      own?.update();
    },
    zeroGrad() {
      optimizer.zeroGrad();
      counts = restarted(counts);
    },
    flush() {
      optimizer.check("flush");
      return { updated: counts.windowStart < counts.innerCount && finish(true) };
    },

    lossFactor: () => windowLength(counts, accumulativeCounts),
    shouldUpdate: () => isBoundary(counts.innerCount, counts, accumulativeCounts),
    shouldSync: () => isBoundary(counts.innerCount + 1, counts, accumulativeCounts),
    get innerCount() {
      return counts.innerCount;
    },
    initializeCountStatus(status: CountStatus) {
      const who = "initializeCountStatus";
      optimizer.check(who, status);
      const { initCounts: innerCount = 0, ...others } = status;
      const pending = counts.innerCount - counts.windowStart;
      if (pending > 0) refuse("window-open", who, "flush() or zeroGrad() before it", pending);
      counts = restarted({ innerCount, ...others });
    },
    optimContext<T>(run: () => NotPromise<T>): T {
      optimizer.check("optimContext");
      const value: unknown = inContext(run);
      if (typeof (value as PromiseLike<T> | undefined)?.then === "function") {
        refuse("invalid-option", "optimContext", "a synchronous function", value);
      }
      return value as T;
    },

    get paramGroups() {
      return optimizer.paramGroups;
    },
    get baseParamSettings() {
      return optimizer.baseParamSettings;
    },
    defaults: optimizer.defaults,
    addParamGroup: (group) => optimizer.addParamGroup(group),
    getLr() {
      const { paramGroups, baseParamSettings } = optimizer;
      return {
        ...(baseParamSettings && { baseLr: [baseParamSettings.lr] }),
        lr: paramGroups.map(({ lr }) => lr),
      };
    },
    getMomentum() {
      type MaybeMomentum = { readonly momentum?: number; readonly betas?: readonly number[] };
      const groups = optimizer.paramGroups as readonly object[] as readonly MaybeMomentum[];
      return { momentum: groups.map(({ momentum, betas }) => momentum ?? betas?.[0] ?? 0) };
    },
    freeze: (names) => optimizer.freeze(names),
    unfreeze: (names) => optimizer.unfreeze(names),
    readMetrics: () => optimizer.readMetrics(lossScaler),

    async stateDict(given = {}) {
      optimizer.check("stateDict", given);
      const saving = optimizer.stateDict(given);
      const saved = given.pending === false ? restarted(counts) : { ...counts };
      const [state, scalerState] = await Promise.all([saving, lossScaler?.stateDict()]);
      return {
        format: "optim-wrapper",
        version: 1,
        optimizer: state,
        counts: saved,
        ...(scalerState && { lossScaler: scalerState }),
      };
    },
    loadStateDict: async (state, given) => (await wrapper.prepareLoad(state, given)).commit(),
    async prepareLoad(state: OptimWrapperStateDict, given: LoadOptions = {}): Promise<PreparedLoad> {
      optimizer.check("prepareLoad", given, state);
      const { restore = {} } = given;
      const saved = restore.pending === false ? restarted(state.counts) : { ...state.counts };
      const commitScaler =
        state.lossScaler && restore.lossScaler !== false
          ? lossScaler?.prepareLoad(state.lossScaler)
          : undefined;
      return optimizer.prepareLoad(state.optimizer, given, () => {
        commitScaler?.();
        counts = restore.counts === false ? restarted(counts) : saved;
      });
    },

    dispose,
    [disposeKey]: dispose,
  } as OptimWrapper<Loss, LossValue, H>;
  return wrapper;
}
