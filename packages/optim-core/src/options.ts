import { aBoolean, aCount, anything, aPositive, checkOptions } from "./check-options.ts";
import type { LossScaler } from "./loss-scaler.ts";
import type { OptimWrapperOptions } from "./optim-wrapper.ts";
import type { ClipGrad } from "./optimizer.ts";

/** Options of a wrapper, checked and copied. @throws OptimError `invalid-option`, `unknown-option` */
export function resolveOptions(options: OptimWrapperOptions): OptimWrapperOptions {
  const who = "createOptimWrapper";
  const resolved = checkOptions(who, options, {
    accumulativeCounts: [(value: number) => aCount[0](value as never) && value > 0, "a positive integer"],
    clipGrad: [(value) => Object(value) === value, "an object"],
    // Whoever makes the scaler checks its options.
    lossScale: anything,
    onNonFinite: [
      (value) =>
        ["propagate", "skip", "throw", "zero"].includes(value) &&
        (value === "propagate" || options.lossScale === undefined),
      '"propagate", "skip", "throw" or "zero", without lossScale',
    ],
    gradNorm: aBoolean,
  });
  return resolved.clipGrad === undefined
    ? resolved
    : { ...resolved, clipGrad: resolveClipGrad(resolved.clipGrad) };
}

function resolveClipGrad(clipGrad: ClipGrad): ClipGrad {
  const who = "clipGrad";
  if (clipGrad.type === "value") {
    return checkOptions(
      who,
      { ...clipGrad, clipValue: (clipGrad.clipValue as number | undefined) ?? Number.NaN },
      { type: anything, clipValue: aPositive },
    );
  }
  return checkOptions(
    who,
    { ...clipGrad, maxNorm: (clipGrad.maxNorm as number | undefined) ?? Number.NaN },
    {
      type: [(value) => value === "norm", '"norm" or "value"'],
      maxNorm: [(value: unknown) => typeof value === "number" && value >= 0, "a number that is not negative"],
      normType: [(value: unknown) => typeof value === "number" && value > 0, "a number above 0, or Infinity"],
      errorIfNonfinite: aBoolean,
    },
  );
}

/** Whether a `lossScale` is a scaler that somebody else made. */
export function isLossScaler(lossScale: OptimWrapperOptions["lossScale"]): lossScale is LossScaler {
  return typeof lossScale === "object" && "kind" in lossScale;
}
