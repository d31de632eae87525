import type { Checked, CheckRequest, ResolvedStep, StepItem, StepStages } from "../engine.ts";

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
  const factor = stages.clip(stages.unscale(options.rescale, options.lossScale), checked, options.clipGrad);
  stages.update(items, factor, checked, options.clipGrad);
  return checked;
}

function checkRequest({
  clipGrad,
  lossScale,
  lossScaler,
  onNonFinite,
  gradNorm,
}: ResolvedStep<unknown>): CheckRequest {
  const byNorm = clipGrad !== undefined && clipGrad.type !== "value" ? clipGrad : undefined;
  const orThrow = byNorm?.errorIfNonfinite === true || (lossScale === undefined && onNonFinite === "throw");
  return {
    normType: byNorm !== undefined ? (byNorm.normType ?? 2) : gradNorm ? 2 : undefined,
    finite: orThrow || lossScale !== undefined || onNonFinite === "skip",
    ignoreNonFinite: lossScale === undefined && onNonFinite === "zero",
    orThrow,
    lossScaler,
  };
}
