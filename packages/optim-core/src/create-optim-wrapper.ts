/// <reference lib="esnext.disposable" preserve="true" />
import { aBoolean, aNumber, anything, aPositive, aPositiveCount, checkOptions } from "./check-options.ts";
import { OptimError } from "./errors.ts";
import type { BaseHyperparameters } from "./hyperparameters.ts";
import { isLossScaler, type LossScaler } from "./loss-scaler.ts";
import type {
  NotPromise,
  OptimWrapper,
  OptimWrapperOptions,
  UpdateParamsOptions,
  UpdateParamsResult,
  WithLoss,
  WrapperBackwardOptions,
} from "./optim-wrapper.ts";
import type { Optimizer } from "./optimizer.ts";
import type { LoadOptions, OptimWrapperStateDict, PreparedLoad, StateDictOptions } from "./state.ts";
import { accumulationWindow, checkCounts } from "./window.ts";

/** Where the symbol does not exist, a key that nobody has. */
const disposeKey: typeof Symbol.dispose = /* @__PURE__ */ (() =>
  (Symbol as { readonly dispose?: symbol }).dispose ?? Symbol())() as typeof Symbol.dispose;

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
    throw new OptimError("invalid-option", "createOptimWrapper", {
      expected: "an optimizer",
      received: optimizer,
    });
  }
  const {
    accumulativeCounts = 1,
    lossScale,
    ...others
  } = checkOptions("options", options, {
    accumulativeCounts: aPositiveCount,
    lossScale: anything,
    clipGrad: anything,
    onNonFinite: anything,
    gradNorm: anything,
  });
  const settings = optimizer.checkStep(others, lossScale);
  const window = accumulationWindow(accumulativeCounts);
  let own: LossScaler | undefined;
  const lossScaler =
    lossScale === undefined || isLossScaler(lossScale)
      ? lossScale
      : (own = optimizer.createLossScaler(lossScale));
  let insideLoss = false;
  let disposed = false;

  /** The optimizer, for everything but getters. */
  const live = (call: string): typeof optimizer => {
    if (disposed) throw new OptimError("disposed", call, { expected: "a live wrapper" });
    if (insideLoss)
      throw new OptimError("reentrant", call, { expected: "no call from the wrapper's own loss closure" });
    return optimizer;
  };
  const inContext = <T>(run: () => T): T =>
    optimizer.context === undefined ? run() : optimizer.context({ sync: wrapper.shouldSync() }, run);
  const differentiate = <R extends boolean>(
    loss: Loss,
    scale: number,
    returnLoss: R | undefined,
    weighted: boolean,
  ): WithLoss<LossValue, R> => {
    window.admit();
    insideLoss = true;
    try {
      const value = inContext(() => optimizer.backward(loss, { scale, lossScaler, returnLoss }));
      window.add(scale, weighted);
      return (returnLoss === true ? { loss: value } : {}) as WithLoss<LossValue, R>;
    } finally {
      insideLoss = false;
    }
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
      const { returnLoss, weight } = checkOptions("updateParams", given, {
        returnLoss: aBoolean,
        weight: aPositive,
      });
      live("updateParams");
      const scale = (weight ?? 1) / window.length();
      const result = differentiate(loss, scale, returnLoss, weight !== undefined);
      const updated = wrapper.shouldUpdate();
      if (updated) {
        wrapper.step({ rescale: window.rescale(false) });
        wrapper.zeroGrad();
      }
      return { updated, ...result };
    },
    backward<const R extends boolean = false>(
      loss: Loss,
      given: WrapperBackwardOptions<R> = {},
    ): WithLoss<LossValue, R> {
      const { returnLoss, scale = 1 } = checkOptions("backward", given, {
        returnLoss: aBoolean,
        scale: aNumber,
      });
      live("backward");
      return differentiate(loss, scale, returnLoss, false);
    },
    step(given: { readonly rescale?: number } = {}) {
      const { rescale = 1 } = checkOptions("step", given, { rescale: aNumber });
      live("step").step({ ...settings, rescale, lossScaler });
      own?.update();
    },
    zeroGrad() {
      live("zeroGrad").zeroGrad();
      window.restart();
    },
    flush() {
      live("flush");
      const updated = !window.isEmpty();
      if (updated) {
        wrapper.step({ rescale: window.rescale(true) });
        wrapper.zeroGrad();
      }
      return { updated };
    },

    lossFactor: window.length,
    shouldUpdate: () => window.isBoundary(window.count()),
    shouldSync: () => window.isBoundary(window.count() + 1),
    get innerCount() {
      return window.count();
    },
    initializeCountStatus(status) {
      live("initializeCountStatus");
      window.initialize(status);
    },
    optimContext<T>(run: () => NotPromise<T>): T {
      live("optimContext");
      const value: unknown = inContext(run);
      if (typeof (value as PromiseLike<T> | undefined)?.then === "function") {
        throw new OptimError("invalid-option", "optimContext", { expected: "a synchronous function" });
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
    addParamGroup: (group) => live("addParamGroup").addParamGroup(group),
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
    freeze: (names) => live("freeze").freeze(names),
    unfreeze: (names) => live("unfreeze").unfreeze(names),
    readMetrics: async () => live("readMetrics").readMetrics(lossScaler),

    async stateDict(given = {}) {
      const saving = live("stateDict").stateDict(given);
      const counts = window.save((given as StateDictOptions | null)?.pending !== false);
      const [state, scalerState] = await Promise.all([saving, lossScaler?.stateDict()]);
      return {
        format: "optim-wrapper",
        version: 1,
        optimizer: state,
        counts,
        ...(scalerState && { lossScaler: scalerState }),
      };
    },
    loadStateDict: async (state, given) => (await wrapper.prepareLoad(state, given)).commit(),
    async prepareLoad(state: OptimWrapperStateDict, given: LoadOptions = {}): Promise<PreparedLoad> {
      live("prepareLoad");
      const saved = Object(state) as Partial<OptimWrapperStateDict>;
      if (saved.format !== "optim-wrapper" || saved.version !== 1) {
        throw new OptimError("invalid-state", "prepareLoad", {
          expected: "a wrapper's state, version 1",
          received: state,
        });
      }
      const counts = checkCounts(state.counts);
      const restore = (given as LoadOptions | null)?.restore;
      const commitScaler =
        saved.lossScaler && restore?.lossScaler !== false
          ? lossScaler?.prepareLoad(saved.lossScaler)
          : undefined;
      const prepared = await optimizer.prepareLoad(state.optimizer, given);
      let open = true;
      return {
        commit() {
          const report = prepared.commit();
          if (!open || disposed) return report;
          open = false;
          commitScaler?.();
          if (restore?.counts === false) window.restart();
          else window.load(counts, restore?.pending !== false);
          return report;
        },
        dispose() {
          open = false;
          prepared.dispose();
        },
      };
    },

    dispose() {
      if (disposed) return;
      live("dispose").dispose();
      disposed = true;
      own?.dispose();
    },
    [disposeKey]: () => wrapper.dispose(),
  } as OptimWrapper<Loss, LossValue, H>;
  return wrapper;
}
