import { isLossScaler, type LossScale, type LossScaler } from "./loss-scaler.ts";
import type { BackwardOptions, MetricsOptions, StepOptions } from "./optimizer.ts";
import type { ClipGrad, CountStatus, OptimWrapperOptions } from "./options.ts";
import {
  aBoolean,
  aFinite,
  aFunction,
  anything,
  aPositive,
  checkSchema,
  type Fields,
  integerFrom,
  isFinite32,
  oneOf,
  type Schema,
  type Test,
} from "./schema.ts";

const aNorm: Test = [(value: unknown) => typeof value === "number" && value >= 0, "a number of at least 0"];

const normOf = (per: "all" | "tensor"): Schema => ({
  fields: {
    "type?": oneOf("norm", "value", "adaptive"),
    "per?": oneOf("all", "tensor"),
    maxNorm: aNorm,
    "normType?":
      per === "tensor"
        ? [
            (value: unknown) => value === 1 || value === 2 || value === Infinity,
            '1, 2 or Infinity with per: "tensor"',
          ]
        : [
            (value: unknown) => typeof value === "number" && value > 0,
            "a number above 0 (Infinity, not a string, for the largest absolute value)",
          ],
    "errorIfNonfinite?": aBoolean,
  },
});

const clips = {
  value: { fields: { type: oneOf("value"), clipValue: aPositive } },
  adaptive: { fields: { type: oneOf("adaptive"), clipFactor: aPositive, "eps?": aPositive } },
  all: normOf("all"),
  tensor: normOf("tensor"),
};

function clipOf(clipGrad: ClipGrad | undefined): Schema {
  if (clipGrad?.type === "value" || clipGrad?.type === "adaptive") return clips[clipGrad.type];
  return clipGrad?.per === "tensor" ? clips.tensor : clips.all;
}

/** Options that are the same for all steps of a wrapper. */
const settings: Fields["fields"] = {
  "clipGrad?": clipOf,
  "onNonFinite?": oneOf("propagate", "skip", "throw", "zero"),
  "gradNorm?": aBoolean,
};

/** The options of `createOptimWrapper`, as a copy. @throws OptimError `invalid-option`, `unknown-option` */
export function checkedWrapperOptions(backend: string, options: OptimWrapperOptions): OptimWrapperOptions {
  const { lossScale, clipGrad } = Object(options) as OptimWrapperOptions;
  const fields: Fields["fields"] = {
    "accumulativeCounts?": integerFrom(1),
    ...settings,
    // The options of a loss scaler are checked by who makes it.
    "lossScale?": [
      (value: LossScale | LossScaler) => !isLossScaler(value) || value.backend === backend,
      `a loss scaler of ${backend}`,
    ],
    ...(lossScale !== undefined && { "onNonFinite?": oneOf("propagate") }),
  };
  checkSchema("invalid-option", "createOptimWrapper", options, { fields });
  return clipGrad === undefined ? options : { ...options, clipGrad: { ...clipGrad } };
}

const aWeight: Test = [(value: unknown) => isFinite32(value) && value >= 0, "a finite number of at least 0"];

type CheckedCall = "updateParams" | "backward" | "step" | "stateDict" | "prepareLoad";

/** Options of the calls of a wrapper. */
const fieldsOf: { readonly [C in CheckedCall]: Fields["fields"] } = {
  updateParams: { "returnLoss?": aBoolean, "weight?": aWeight },
  backward: { "returnLoss?": aBoolean, "scale?": aFinite },
  step: { "rescale?": aFinite },
  stateDict: { "pending?": aBoolean },
  prepareLoad: {
    "strict?": aBoolean,
    "rename?": aFunction,
    "restore?": {
      fields: {
        "hyperparameters?": aBoolean,
        "counts?": aBoolean,
        "lossScaler?": aBoolean,
        "pending?": aBoolean,
        "frozen?": aBoolean,
      },
    },
  },
};

/** Refuses wrong options of a call. @throws OptimError `invalid-option`, `unknown-option` */
export function checkOptions(call: CheckedCall, options: object): void {
  checkSchema("invalid-option", call, options, { fields: fieldsOf[call] });
}

/** @throws OptimError `invalid-option`, `unknown-option` */
export function checkCountStatus(status: CountStatus, least: number): void {
  const { initCounts = least } = Object(status) as CountStatus;
  checkSchema("invalid-option", "initializeCountStatus", status, {
    fields: { "initCounts?": integerFrom(0), "maxCounts?": integerFrom(initCounts) },
  });
}

const backwardOptions: Fields = {
  fields: { ...fieldsOf.backward, "stepFollows?": aBoolean, "lossScaler?": anything },
};

/** The options of an optimizer's own `backward`, called by hand. @throws OptimError `invalid-option`, `unknown-option` */
export function checkBackwardOptions(who: string, options: BackwardOptions): void {
  checkSchema("invalid-option", who, options, backwardOptions);
}

const stepOptions: Fields = {
  fields: { ...fieldsOf.step, ...settings, "weight?": aFinite, "lossScaler?": anything },
};

/** The options of an optimizer's own `step`, called by hand. @throws OptimError `invalid-option`, `unknown-option` */
export function checkStepOptions(who: string, options: StepOptions): void {
  checkSchema("invalid-option", who, options, stepOptions);
}

const metricsOptions: Fields = { fields: { "per?": oneOf("parameter") } };

/** @throws OptimError `invalid-option`, `unknown-option` */
export function checkMetricsOptions(who: string, options: MetricsOptions): void {
  checkSchema("invalid-option", who, options, metricsOptions);
}
