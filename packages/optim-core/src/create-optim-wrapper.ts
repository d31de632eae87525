/// <reference lib="esnext.disposable" preserve="true" />
import { checkedWrapperOptions, checkOptions } from "./arguments.ts";
import { requireContract } from "./contract.ts";
import { refuse } from "./errors.ts";
import type { BaseHyperparameters } from "./hyperparameters.ts";
import { isLossScaler, type LossScaler } from "./loss-scaler.ts";
import type { OptimWrapper, UpdateParamsResult, WithLoss } from "./optim-wrapper.ts";
import type { AddedParamGroup, Optimizer } from "./optimizer.ts";
import type {
  CountStatus,
  OptimWrapperOptions,
  UpdateParamsOptions,
  WrapperBackwardOptions,
} from "./options.ts";
import type { LoadOptions, OptimWrapperStateDict, PreparedLoad } from "./state.ts";
import { Window } from "./window.ts";
import { prepareWrapperState, saveWrapperState } from "./wrapper-state.ts";

/** {@link createOptimWrapper} with `lossScale` defaulting to `"dynamic"`: mixed precision. */
export function createAmpOptimWrapper<
  Loss,
  LossValue,
  H extends BaseHyperparameters,
  R extends BaseHyperparameters = H,
>(
  optimizer: Optimizer<Loss, LossValue, H, R>,
  options: OptimWrapperOptions = {},
): OptimWrapper<Loss, LossValue, H, R> {
  // Anything but an object is left as it is, to be refused.
  return createOptimWrapper(
    optimizer,
    Object(options) === options ? { ...options, lossScale: options.lossScale ?? "dynamic" } : options,
  );
}

/**
 * Wraps an optimizer of any backend. The wrapper owns it from here: `wrapper.dispose()` disposes it.
 *
 * @throws OptimError `invalid-option`, `unknown-option`, `contract-mismatch`, `duplicate-wrapper` for an optimizer that is wrapped already
 */
export function createOptimWrapper<
  Loss,
  LossValue,
  H extends BaseHyperparameters,
  R extends BaseHyperparameters = H,
>(
  optimizer: Optimizer<Loss, LossValue, H, R>,
  options: OptimWrapperOptions = {},
): OptimWrapper<Loss, LossValue, H, R> {
  requireContract("invalid-option", "createOptimWrapper", "optimizer", optimizer, hintFor(optimizer));
  const {
    accumulativeCounts = 1,
    lossScale,
    ...settings
  } = checkedWrapperOptions(optimizer.backend, options);
  const isShared = lossScale === undefined || isLossScaler(lossScale);
  let own = isShared ? undefined : optimizer.createLossScaler(lossScale);
  const lossScaler: LossScaler | undefined = isShared ? lossScale : own;
  try {
    if (isShared && lossScaler !== undefined) {
      requireContract("invalid-option", "createOptimWrapper: lossScale", "loss-scaler", lossScaler);
    }
    optimizer.guard("createOptimWrapper");
  } catch (error) {
    own?.dispose();
    throw error;
  }

  const window = new Window(accumulativeCounts);
  const optimContext = <T>(run: () => T): T => optimizer.context({ sync: window.endsNext }, run);
  /** One micro-batch: its gradients × `scale` join the window, where they count with `weight`. */
  const differentiate = <R extends boolean>(
    loss: Loss,
    scale: number,
    weight: number,
    returnLoss: boolean | undefined,
    stepFollows?: boolean,
  ): WithLoss<LossValue, R> => {
    const value = optimContext(() =>
      optimizer.backward(loss, { scale, lossScaler, returnLoss, stepFollows }),
    );
    window.add(weight);
    return (returnLoss ? { loss: value } : {}) as WithLoss<LossValue, R>;
  };
  const step = (stepOptions: { readonly rescale?: number; readonly weight?: number }): boolean => {
    const stepped = optimizer.step({ ...settings, ...stepOptions, lossScaler });
    own?.update();
    return stepped;
  };
  const zeroGrad = (): void => {
    optimizer.zeroGrad();
    window.restart();
  };
  /** Steps the window, divided by its weights. */
  const finish = (call: string): boolean => {
    const updated = step({ weight: window.weight(call) });
    zeroGrad();
    return updated;
  };
  const prepareLoad = (state: OptimWrapperStateDict, given: LoadOptions = {}): PreparedLoad => {
    optimizer.guard("prepareLoad");
    return prepareWrapperState(optimizer, lossScaler, window, state, given);
  };
  // Where the symbol does not exist, the same key again.
  const disposeKey: typeof Symbol.dispose = ((Symbol as { readonly dispose?: symbol }).dispose ??
    "dispose") as typeof Symbol.dispose;
  const dispose = (): void => {
    optimizer.dispose();
    own?.dispose();
    own = undefined;
  };

  return {
    kind: "optim-wrapper",
    contract: 1,
    backend: optimizer.backend,
    optimizer,
    lossScaler,

    updateParams<const R extends boolean = false>(
      loss: Loss,
      given: UpdateParamsOptions<R> = {},
    ): UpdateParamsResult<LossValue, R> {
      optimizer.guard("updateParams");
      checkOptions("updateParams", given);
      const { returnLoss, weight = 1 } = given;
      const result = differentiate<R>(loss, weight / window.divisor(), weight, returnLoss, window.endsNext);
      try {
        return { updated: window.isBoundary() && finish("updateParams"), ...result };
      } catch (error) {
        // Nobody gets it now. Losses that garbage collection does not free have a `dispose`.
        (result.loss as { dispose?(): void } | undefined)?.dispose?.();
        throw error;
      }
    },
    skip() {
      optimizer.guard("skip");
      window.add(0);
      return { updated: window.isBoundary() && finish("skip") };
    },
    backward<const R extends boolean = false>(
      loss: Loss,
      given: WrapperBackwardOptions<R> = {},
    ): WithLoss<LossValue, R> {
      optimizer.guard("backward");
      checkOptions("backward", given);
      const { returnLoss, scale = 1 } = given;
      return differentiate<R>(loss, scale, scale * window.divisor(), returnLoss);
    },
    step(given: { readonly rescale?: number } = {}) {
      optimizer.guard("step");
      checkOptions("step", given);
      step(given);
    },
    zeroGrad,
    flush() {
      optimizer.guard("flush");
      return { updated: window.isOpen && finish("flush") };
    },

    lossFactor: () => window.divisor(),
    shouldUpdate: () => window.isBoundary(),
    shouldSync: () => window.endsNext,
    get innerCount() {
      return window.innerCount;
    },
    get accumulativeCounts() {
      return window.accumulativeCounts;
    },
    set accumulativeCounts(counts) {
      window.accumulativeCounts = counts;
    },
    initializeCountStatus(status: CountStatus) {
      optimizer.guard("initializeCountStatus");
      window.initialize(status);
    },
    optimContext,

    get paramGroups() {
      return optimizer.paramGroups;
    },
    get baseParamSettings() {
      return optimizer.baseParamSettings;
    },
    defaults: optimizer.defaults,
    addParamGroup: (group: AddedParamGroup<H>) => optimizer.addParamGroup(group),
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
    evaluating: (run) => evaluateSwapped(optimizer, run),
    swapIn: () => optimizer.swapIn(),
    swapOut: () => optimizer.swapOut(),
    readSlots: (names) => optimizer.readSlots(names),
    freeze: (names) => optimizer.freeze(names),
    unfreeze: (names) => optimizer.unfreeze(names),
    readMetrics: (options) => optimizer.readMetrics(lossScaler, options),

    async stateDict(given = {}) {
      optimizer.guard("stateDict");
      checkOptions("stateDict", given);
      return saveWrapperState(optimizer, lossScaler, window, given.pending ?? true);
    },
    loadStateDict: async (...given) => prepareLoad(...given).commit(),
    prepareLoad,

    dispose,
    [disposeKey]: dispose,
  };
}

/** Advice for things that are often given in the place of an optimizer. */
function hintFor(given: unknown): string | undefined {
  const { kind, applyGradients } = Object(given) as {
    readonly kind?: unknown;
    readonly applyGradients?: unknown;
  };
  if (kind === "update-rule") return "Give the rule its parameters first: tfjsOptimizer(rule, variables)";
  if (kind === "optim-wrapper") return "It is a wrapper already";
  if (typeof applyGradients === "function") {
    return "Give a tf.Optimizer its variables first: tfjsOptimizer(tf.train.adam(1e-3), variables)";
  }
  return typeof given === "function" ? "Call what makes it" : undefined;
}

/**
 * Runs `run` between `swapIn` and `swapOut`, of one or of many.
 *
 * @throws OptimError `invalid-option` for what is no function, before anything is swapped
 */
export async function evaluateSwapped<T>(
  swapped: { swapIn(): void; swapOut(): void },
  run: () => T | PromiseLike<T>,
): Promise<T> {
  if (typeof run !== "function") refuse("invalid-option", "evaluating", "a function", run);
  swapped.swapIn();
  try {
    return await run();
  } finally {
    swapped.swapOut();
  }
}
