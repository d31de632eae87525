/// <reference lib="esnext.disposable" preserve="true" />
import { checkArguments } from "./arguments.ts";
import { refuse } from "./errors.ts";
import type { BaseHyperparameters } from "./hyperparameters.ts";
import { isLossScaler, type LossScaler } from "./loss-scaler.ts";
import type { OptimWrapper, UpdateParamsResult, WithLoss } from "./optim-wrapper.ts";
import type { CheckedCall, Optimizer, WrapperCalls } from "./optimizer.ts";
import type {
  CountStatus,
  OptimWrapperOptions,
  UpdateParamsOptions,
  WrapperBackwardOptions,
} from "./options.ts";
import type { LoadOptions, OptimWrapperStateDict, PreparedLoad, WindowCounts } from "./state.ts";

/** {@link createOptimWrapper} with `lossScale` defaulting to `"dynamic"`: mixed precision. */
export function createAmpOptimWrapper<Loss, LossValue, H extends BaseHyperparameters>(
  optimizer: Optimizer<Loss, LossValue, H>,
  options: OptimWrapperOptions = {},
): OptimWrapper<Loss, LossValue, H> {
  // What is no object is left as it is, to be refused.
  return createOptimWrapper(
    optimizer,
    Object(options) === options ? { ...options, lossScale: options.lossScale ?? "dynamic" } : options,
  );
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
  const check = <C extends keyof WrapperCalls>(call: C, ...given: WrapperCalls[C]): CheckedCall<C> => {
    optimizer.guard(call);
    return checkArguments(optimizer.backend, call, given);
  };
  const { accumulativeCounts = 1, lossScale, ...settings } = check("createOptimWrapper", options);
  let own: LossScaler | undefined;
  const lossScaler =
    lossScale === undefined || isLossScaler(lossScale)
      ? lossScale
      : (own = optimizer.createLossScaler(lossScale));

  // The window: a run of backward calls whose gradients make one step. Windows end at multiples of accumulativeCounts and at maxCounts;
  // each is divided by its own length, so the last one, and the first after a resume or a flush, may be short.
  let counts = windowFrom({ innerCount: 0 });
  const isBoundary = (count: number): boolean =>
    count % accumulativeCounts === 0 || count === counts.maxCounts;
  const shouldSync = (): boolean => isBoundary(counts.innerCount + 1);
  const lossFactor = (): number => {
    const { innerCount, maxCounts, windowStart } = counts;
    if (innerCount === maxCounts) {
      refuse("count-exceeded", "backward", `at most ${maxCounts} (maxCounts)`, innerCount + 1);
    }
    const end = innerCount - (innerCount % accumulativeCounts) + accumulativeCounts;
    return Math.min(end, maxCounts ?? end) - windowStart;
  };
  /** Steps the window. A full one is a mean already, unless weights were given. */
  const finish = (short: boolean): true => {
    wrapper.step({ rescale: short || counts.weighted ? 1 / counts.scaleSum : 1 });
    wrapper.zeroGrad();
    return true;
  };
  const optimContext = <T>(run: () => T): T => optimizer.context({ sync: shouldSync() }, run);
  const differentiate = <R extends boolean>(
    loss: Loss,
    scale: number,
    returnLoss: boolean | undefined,
    weight?: number,
    stepFollows?: boolean,
  ): WithLoss<LossValue, R> => {
    const value = optimContext(() =>
      optimizer.backward(loss, { scale, lossScaler, returnLoss, stepFollows }),
    );
    counts.innerCount += 1;
    counts.scaleSum += scale;
    counts.weighted ||= weight !== undefined;
    return (returnLoss ? { loss: value } : {}) as WithLoss<LossValue, R>;
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
      const { returnLoss, weight } = check("updateParams", given);
      const scale = (weight ?? 1) / lossFactor();
      const result = differentiate<R>(loss, scale, returnLoss, weight, shouldSync());
      try {
        return { updated: isBoundary(counts.innerCount) && finish(false), ...result };
      } catch (error) {
        // Nobody gets it now. Losses that garbage collection does not free have a `dispose`.
        (result.loss as { dispose?(): void } | undefined)?.dispose?.();
        throw error;
      }
    },
    backward<const R extends boolean = false>(
      loss: Loss,
      given: WrapperBackwardOptions<R> = {},
    ): WithLoss<LossValue, R> {
      const { returnLoss, scale = 1 } = check("backward", given);
      lossFactor(); // Throws past maxCounts.
      return differentiate<R>(loss, scale, returnLoss);
    },
    step(given: { readonly rescale?: number } = {}) {
      optimizer.step({ ...settings, ...check("step", given), lossScaler });
      own?.update();
    },
    zeroGrad() {
      optimizer.zeroGrad();
      counts = windowFrom(counts);
    },
    flush() {
      check("flush");
      return { updated: counts.windowStart < counts.innerCount && finish(true) };
    },

    lossFactor,
    shouldUpdate: () => isBoundary(counts.innerCount),
    shouldSync,
    get innerCount() {
      return counts.innerCount;
    },
    initializeCountStatus(status: CountStatus) {
      const pending = counts.innerCount - counts.windowStart;
      const { initCounts = 0, ...others } = check("initializeCountStatus", status, pending);
      counts = windowFrom({ innerCount: initCounts, ...others });
    },
    optimContext,

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
      const { pending = true } = check("stateDict", given);
      const saved = pending ? { ...counts } : windowFrom(counts);
      const [state, scalerState] = await Promise.all([optimizer.stateDict(given), lossScaler?.stateDict()]);
      return {
        format: "optim-wrapper",
        version: 1,
        optimizer: state,
        counts: saved,
        ...(scalerState && { lossScaler: scalerState }),
      };
    },
    loadStateDict: async (...given) => wrapper.prepareLoadSync(...given).commit(),
    prepareLoad: async (...given) => wrapper.prepareLoadSync(...given),
    prepareLoadSync(state: OptimWrapperStateDict, given: LoadOptions = {}): PreparedLoad {
      const current = check("prepareLoad", given, state);
      const { restore } = given;
      const saved = restore?.pending === false ? windowFrom(current.counts) : { ...current.counts };
      const commitScaler =
        restore?.lossScaler !== false && current.lossScaler && lossScaler?.prepareLoad(current.lossScaler);
      return optimizer.prepareLoadSync(current.optimizer, given, () => {
        if (commitScaler) commitScaler();
        counts = restore?.counts === false ? windowFrom(counts) : saved;
      });
    },

    dispose,
    [disposeKey]: dispose,
  } as OptimWrapper<Loss, LossValue, H>;
  return wrapper;
}

type Window = { -readonly [K in keyof WindowCounts]: WindowCounts[K] };

/** An empty window that begins at these counts. */
const windowFrom = (counts: Pick<WindowCounts, "innerCount" | "maxCounts">): Window => ({
  ...counts,
  windowStart: counts.innerCount,
  scaleSum: 0,
  weighted: false,
});
