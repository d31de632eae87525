import { aBoolean, anything, aPositive, checkOptions } from "../check-options.ts";
import { isLossScaler, type LossScale, type LossScaler } from "../loss-scaler.ts";
import type { ClipGrad, StepSettings } from "../optimizer.ts";

/**
 * The checks of `Optimizer.checkStep`, for optimizers that can do all of it.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function checkStepSettings(
  backend: string,
  settings: StepSettings,
  lossScale: LossScale | LossScaler | undefined,
): StepSettings {
  const who = "options";
  checkOptions(
    who,
    { lossScale },
    {
      // The options of a scaler are checked by who makes it.
      lossScale: [
        (value: typeof lossScale) => !isLossScaler(value) || value.backend === backend,
        `a loss scaler of ${backend}`,
      ],
    },
  );
  const checked = checkOptions(who, settings, {
    clipGrad: [(value) => Object(value) === value, "an object"],
    onNonFinite: [
      (value) =>
        ["propagate", "skip", "throw", "zero"].includes(value) &&
        (value === "propagate" || lossScale === undefined),
      '"propagate", "skip", "throw" or "zero", without lossScale',
    ],
    gradNorm: aBoolean,
  });
  return checked.clipGrad === undefined ? checked : { ...checked, clipGrad: checkClipGrad(checked.clipGrad) };
}

function checkClipGrad(clipGrad: ClipGrad): ClipGrad {
  const who = "clipGrad";
  // NaN in place of what is missing, so that it is refused by name.
  if (clipGrad.type === "value") {
    const clipValue = (clipGrad.clipValue as number | undefined) ?? Number.NaN;
    return checkOptions(who, { ...clipGrad, clipValue }, { type: anything, clipValue: aPositive });
  }
  const maxNorm = (clipGrad.maxNorm as number | undefined) ?? Number.NaN;
  return checkOptions(
    who,
    { ...clipGrad, maxNorm },
    {
      type: [(value) => value === "norm", '"norm" or "value"'],
      maxNorm: [(value: unknown) => typeof value === "number" && value >= 0, "a number that is not negative"],
      normType: [(value: unknown) => typeof value === "number" && value > 0, "a number above 0, or Infinity"],
      errorIfNonfinite: aBoolean,
    },
  );
}
