import { OptimError } from "./errors.ts";
import type { LossScaler } from "./loss-scaler.ts";
import type { OptimWrapperOptions } from "./optim-wrapper.ts";
import type { ClipGrad, OnNonFinite } from "./optimizer.ts";

const actions: readonly OnNonFinite[] = ["propagate", "skip", "throw", "zero"];

/** Options of a wrapper, checked and copied. */
export interface ResolvedOptions {
  readonly accumulativeCounts: number;
  readonly clipGrad: ClipGrad | undefined;
  readonly lossScale: OptimWrapperOptions["lossScale"];
  readonly onNonFinite: OnNonFinite;
  readonly gradNorm: boolean;
}

/** @throws OptimError `invalid-option`, `unknown-option` */
export function resolveOptions(options: OptimWrapperOptions): ResolvedOptions {
  known(options, ["accumulativeCounts", "clipGrad", "lossScale", "onNonFinite", "gradNorm"], "options");
  const { accumulativeCounts = 1, clipGrad, lossScale, onNonFinite = "propagate", gradNorm = false } = options;
  check(Number.isSafeInteger(accumulativeCounts) && accumulativeCounts > 0, "accumulativeCounts", "a positive integer", accumulativeCounts);
  check(actions.includes(onNonFinite), "onNonFinite", actions.join(", "), onNonFinite);
  check(
    lossScale === undefined || onNonFinite === "propagate",
    "onNonFinite",
    "nothing beside lossScale, which skips such steps",
    onNonFinite,
  );
  check(typeof gradNorm === "boolean", "gradNorm", "true or false", gradNorm);
  return { accumulativeCounts, clipGrad: clipGrad && resolveClipGrad(clipGrad), lossScale, onNonFinite, gradNorm };
}

function resolveClipGrad(clipGrad: ClipGrad): ClipGrad {
  check(typeof clipGrad === "object", "clipGrad", "{ maxNorm } or { type: \"value\", clipValue }", clipGrad);
  if (clipGrad.type === "value") {
    known(clipGrad, ["type", "clipValue"], "clipGrad");
    const { clipValue } = clipGrad;
    check(Number.isFinite(clipValue) && clipValue > 0, "clipGrad.clipValue", "a positive finite number", clipValue);
    return { type: "value", clipValue };
  }
  known(clipGrad, ["type", "maxNorm", "normType", "errorIfNonfinite"], "clipGrad");
  const { type = "norm", maxNorm, normType = 2, errorIfNonfinite = false } = clipGrad;
  check(type === "norm", "clipGrad.type", '"norm" or "value"', type);
  check(typeof maxNorm === "number" && maxNorm >= 0, "clipGrad.maxNorm", "a number that is not negative", maxNorm);
  check(typeof normType === "number" && normType > 0, "clipGrad.normType", "a number above 0, or Infinity", normType);
  check(typeof errorIfNonfinite === "boolean", "clipGrad.errorIfNonfinite", "true or false", errorIfNonfinite);
  return { type, maxNorm, normType, errorIfNonfinite };
}

/** Whether a `lossScale` is a scaler that somebody else made. */
export function isLossScaler(lossScale: OptimWrapperOptions["lossScale"]): lossScale is LossScaler {
  return typeof lossScale === "object" && "kind" in lossScale && lossScale.kind === "loss-scaler";
}

export function check(fine: boolean, who: string, expected: string, received: unknown): void {
  if (!fine) throw new OptimError("invalid-option", who, { expected, received });
}

/** @throws OptimError `invalid-option` for anything but an object, `unknown-option` for a name that nobody reads */
export function known(options: object, names: readonly string[], who: string): void {
  check(typeof options === "object" && (options as unknown) !== null, who, "an object", options);
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw new OptimError("unknown-option", who, { expected: names.join(", "), received: unknown });
}
