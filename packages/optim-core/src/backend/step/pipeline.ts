import type { Checked, CheckRequest, ResolvedStep, StepItem, StepStages } from "../engine.ts";
import { type Clipping, clippingOf } from "./clip.ts";

/**
 * The step, for every backend that is built on an engine. Each line is a stage, and the stage's name is the name of the file that holds
 * it in core and in the backends.
 */
export function runStep<P, V, S>(
  stages: StepStages<P, V, S>,
  items: readonly StepItem<P, V, S>[],
  options: ResolvedStep<S>,
): Checked<S> {
  const clipping = clippingOf(options.clipGrad);
  const checked = stages.check(items, checkRequest(options, clipping));
  const factor = stages.clip(stages.unscale(options.rescale, options.lossScale), checked, clipping.stages);
  stages.update(items, factor, checked, clipping.stages);
  return checked;
}

function checkRequest(
  { lossScale, lossScaler, onNonFinite, gradNorm }: ResolvedStep<unknown>,
  clipping: Clipping,
): CheckRequest {
  const orThrow = clipping.orThrow === true || (lossScale === undefined && onNonFinite === "throw");
  return {
    normType: clipping.normType ?? (gradNorm ? 2 : undefined),
    finite: orThrow || lossScale !== undefined || onNonFinite === "skip",
    ignoreNonFinite: lossScale === undefined && onNonFinite === "zero",
    orThrow,
    lossScaler,
  };
}
