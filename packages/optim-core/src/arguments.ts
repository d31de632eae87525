import { refuse } from "./errors.ts";
import { isLossScaler, type LossScale, type LossScaler } from "./loss-scaler.ts";
import {
  anything,
  aBoolean,
  aFinite,
  aFunction,
  aPositive,
  checkSchema,
  integerFrom,
  type Fields,
  oneOf,
  type Schema,
} from "./schema.ts";
import type { BackwardOptions, CheckedCall, StepOptions, StepSettings, WrapperCalls } from "./optimizer.ts";
import type { ClipGrad, OptimWrapperOptions } from "./options.ts";
import type { OptimWrapperStateDict, WindowCounts } from "./state.ts";
import { migrated, wrapperMigrations } from "./migrate.ts";

/** `Optimizer.check` of arguments, for optimizers that can do all of it. What is given may be anything. */
export function checkArguments<C extends keyof WrapperCalls>(
  backend: string,
  call: C,
  [options, other]: WrapperCalls[C],
): CheckedCall<C> {
  const fields = optionsOf[call]?.(Object(options) as NonNullable<typeof options>, backend);
  if (fields !== undefined) checkSchema("invalid-option", call, options, { fields });
  if (call === "prepareLoad") {
    const state = migrated(other as OptimWrapperStateDict, wrapperMigrations);
    checkSchema("invalid-state", "state", state, wrapperState(state));
    return state as CheckedCall<C>;
  }
  if (call === "initializeCountStatus" && other !== 0) {
    refuse("window-open", call, "flush() or zeroGrad() before it, with nothing pending", other);
  }
  const { clipGrad } = Object(options) as OptimWrapperOptions;
  return (clipGrad === undefined ? options : { ...options, clipGrad: { ...clipGrad } }) as CheckedCall<C>;
}

const optionsOf: {
  readonly [C in keyof WrapperCalls]?: (
    options: NonNullable<WrapperCalls[C][0]>,
    backend: string,
  ) => Fields["fields"];
} = {
  createOptimWrapper: ({ lossScale, ...settings }, backend) => ({
    "accumulativeCounts?": integerFrom(1),
    ...settingsOf(settings),
    // The options of a loss scaler are checked by who makes it.
    "lossScale?": [
      (value: LossScale | LossScaler) => !isLossScaler(value) || value.backend === backend,
      `a loss scaler of ${backend}`,
    ],
    ...(lossScale !== undefined && { "onNonFinite?": oneOf("propagate") }),
  }),
  updateParams: () => ({ "returnLoss?": aBoolean, "weight?": aPositive }),
  backward: () => ({ "returnLoss?": aBoolean, "scale?": aFinite }),
  step: () => ({ "rescale?": aFinite }),
  initializeCountStatus: ({ initCounts = 0 }) => ({
    "initCounts?": integerFrom(0),
    "maxCounts?": integerFrom(initCounts),
  }),
  stateDict: () => ({ "pending?": aBoolean }),
  prepareLoad: () => ({
    "strict?": aBoolean,
    "rename?": aFunction,
    "restore?": {
      fields: {
        "hyperparameters?": aBoolean,
        "counts?": aBoolean,
        "lossScaler?": aBoolean,
        "pending?": aBoolean,
      },
    },
  }),
};

/** The options of an optimizer's own `backward` and `step`, called by hand. @throws OptimError `invalid-option`, `unknown-option` */
export function checkDirect(
  who: string,
  options: BackwardOptions & StepOptions,
  call: "backward" | "step",
): void {
  const fields = {
    ...optionsOf[call]?.({}, ""),
    ...(call === "step" ? settingsOf(Object(options) as StepOptions) : { "stepFollows?": aBoolean }),
    "lossScaler?": anything,
  };
  checkSchema("invalid-option", who, options, { fields });
}

/** What is the same for all steps of a wrapper. */
const settingsOf = ({ clipGrad }: StepSettings): Fields["fields"] => ({
  "clipGrad?": clipGradOf(clipGrad),
  "onNonFinite?": oneOf("propagate", "skip", "throw", "zero"),
  "gradNorm?": aBoolean,
});

const clipGradOf = (clipGrad: ClipGrad | undefined): Schema => ({
  fields:
    clipGrad?.type === "value"
      ? { type: oneOf("value"), clipValue: aPositive }
      : {
          "type?": oneOf("norm", "value"),
          maxNorm: [(value: unknown) => typeof value === "number" && value >= 0, "a number of at least 0"],
          "normType?": [(value: unknown) => typeof value === "number" && value > 0, "a number above 0"],
          "errorIfNonfinite?": aBoolean,
        },
});

const wrapperState = (state: unknown): Schema => {
  const { windowStart = 0, innerCount = 0 } = Object(
    (state as Partial<OptimWrapperStateDict> | null | undefined)?.counts,
  ) as Partial<WindowCounts>;
  return {
    fields: {
      format: oneOf("optim-wrapper"),
      version: oneOf(wrapperMigrations.length + 1),
      counts: {
        fields: {
          windowStart: integerFrom(0),
          innerCount: integerFrom(windowStart),
          "maxCounts?": integerFrom(innerCount),
          scaleSum: aFinite,
          weighted: aBoolean,
        },
      },
      "lossScaler?": { each: anything },
    },
  };
};
