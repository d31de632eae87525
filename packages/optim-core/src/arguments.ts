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

const normOf = (normType: Test): Schema => ({
  fields: {
    "type?": oneOf("norm", "value", "adaptive"),
    "per?": oneOf("all", "tensor"),
    maxNorm: aNorm,
    "normType?": normType,
    "errorIfNonfinite?": aBoolean,
  },
});

/** Options that are the same for all steps of a wrapper. */
function settings(): Fields["fields"] {
  const byValue: Schema = { fields: { type: oneOf("value"), clipValue: aPositive } };
  const adaptive: Schema = { fields: { type: oneOf("adaptive"), clipFactor: aPositive, "eps?": aPositive } };
  const ofAll = normOf([
    (value: unknown) => typeof value === "number" && value > 0,
    "a number above 0 (Infinity, not a string, for the largest absolute value)",
  ]);
  const perTensor = normOf([
    (value: unknown) => value === 1 || value === 2 || value === Infinity,
    '1, 2 or Infinity with per: "tensor"',
  ]);
  return {
    "clipGrad?": (clipGrad: ClipGrad | undefined) => {
      if (clipGrad?.type === "value") return byValue;
      if (clipGrad?.type === "adaptive") return adaptive;
      return clipGrad?.per === "tensor" ? perTensor : ofAll;
    },
    "onNonFinite?": oneOf("propagate", "skip", "throw", "zero"),
    "gradNorm?": aBoolean,
  };
}

/** The options of `createOptimWrapper`, as a copy. @throws OptimError `invalid-option`, `unknown-option` */
export function checkedWrapperOptions(backend: string, options: OptimWrapperOptions): OptimWrapperOptions {
  const { lossScale, clipGrad } = Object(options) as OptimWrapperOptions;
  const fields: Fields["fields"] = {
    "accumulativeCounts?": integerFrom(1),
    ...settings(),
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

// Made at the first call, so that an import does nothing, and kept, so that they are parsed once.
let backwardOptions: Fields | undefined;
let stepOptions: Fields | undefined;
let metricsOptions: Fields | undefined;

/** The options of an optimizer's own `backward`, called by hand. @throws OptimError `invalid-option`, `unknown-option` */
export function checkBackwardOptions(who: string, options: BackwardOptions): void {
  backwardOptions ??= { fields: { ...fieldsOf.backward, "stepFollows?": aBoolean, "lossScaler?": anything } };
  checkSchema("invalid-option", who, options, backwardOptions);
}

/** The options of an optimizer's own `step`, called by hand. @throws OptimError `invalid-option`, `unknown-option` */
export function checkStepOptions(who: string, options: StepOptions): void {
  stepOptions ??= {
    fields: { ...fieldsOf.step, ...settings(), "weight?": aFinite, "lossScaler?": anything },
  };
  checkSchema("invalid-option", who, options, stepOptions);
}

/** @throws OptimError `invalid-option`, `unknown-option` */
export function checkMetricsOptions(who: string, options: MetricsOptions): void {
  metricsOptions ??= { fields: { "per?": oneOf("parameter") } };
  checkSchema("invalid-option", who, options, metricsOptions);
}
