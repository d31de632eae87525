import type { Checked, CheckRequest, ResolvedStep, StepItem, StepStages } from "../engine.ts";
import { stepClipOf } from "./clip.ts";

/**
 * The step, for every backend that is built on an engine. Each line is a stage, and the stage's name is the name of the file that holds
 * it in core and in the backends.
 */
export function runStep<P, V, S>(
  stages: StepStages<P, V, S>,
  items: readonly StepItem<P, V, S>[],
  options: ResolvedStep<S>,
): Checked<S> {
  const checked = stages.check(items, checkRequest(options));
  const clip = stepClipOf(options.clipGrad);
  const factor = stages.clip(stages.unscale(options.rescale, options.lossScale), checked, clip);
  stages.update(items, factor, checked, clip);
  return checked;
}

function checkRequest({
  clipGrad,
  lossScale,
  lossScaler,
  onNonFinite,
  gradNorm,
}: ResolvedStep<unknown>): CheckRequest {
  const isMeasured = gradNorm || clipGrad?.type === "adaptive";
  const byNorm =
    clipGrad !== undefined && clipGrad.type !== "value" && clipGrad.type !== "adaptive"
      ? clipGrad
      : undefined;
  const orThrow = byNorm?.errorIfNonfinite === true || (lossScale === undefined && onNonFinite === "throw");
  return {
    normType: byNorm !== undefined ? (byNorm.normType ?? 2) : isMeasured ? 2 : undefined,
    finite: orThrow || lossScale !== undefined || onNonFinite === "skip",
    ignoreNonFinite: lossScale === undefined && onNonFinite === "zero",
    orThrow,
    lossScaler,
  };
}
