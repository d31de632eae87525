import { checkBackwardOptions, checkStepOptions } from "../../arguments.ts";
import { OptimError, refuse } from "../../errors.ts";
import type { LossScaler } from "../../loss-scaler.ts";
import type { BackwardOptions, StepOptions } from "../../optimizer.ts";
import type { Engine, EngineLossScaler } from "../engine.ts";
import { clippingOf } from "../step/clip.ts";
import { runStep } from "../step/pipeline.ts";
import type { OptimizerParts } from "./parts.ts";

/** `Optimizer.backward`. */
export function backward<Loss, LossValue, P, V, G, S>(
  engine: Engine<Loss, LossValue, P, V, G, S>,
  { set, pending, lifecycle }: OptimizerParts<P, V, S>,
  loss: Loss,
  options: BackwardOptions,
): LossValue | undefined {
  checkBackwardOptions(lifecycle.at("backward"), options);
  const { scale = 1, lossScaler, returnLoss = false, stepFollows = false } = options;
  if (typeof loss !== "function") refuse("invalid-loss", "backward: loss", "a function", loss);
  const lossScale = pending.scaleWith(scalerOf<S>(engine.backend, lossScaler));
  // Without parameters a closure runs for its loss alone.
  const parameters = scale === 0 ? [] : set.unfrozen;
  if (parameters.length === 0 && !returnLoss) return undefined;
  const request = { parameters, scale, lossScale, returnLoss, stepFollows };
  pending.forgetStep();
  const { value, gradients } = lifecycle.insideLoss(() => engine.differentiate(loss, request));
  if (parameters.length === 0) return value;
  if (gradients.length === 0) throw withoutGradient(value);
  try {
    for (const [parameter] of gradients) parameter.accumulator ??= engine.allocate(parameter, 0);
  } catch (error) {
    for (const [, gradient] of gradients) engine.discard?.(gradient);
    disposeLoss(value);
    throw error;
  }
  for (const [parameter, gradient] of gradients) {
    engine.accumulate(parameter, gradient, request);
    parameter.pending = true;
  }
  pending.latch(lossScale);
  return value;
}

/** `Optimizer.step`: whether anything stepped. */
export function step<P, V, S>(parts: OptimizerParts<P, V, S>, options: StepOptions): boolean {
  const { engine, set, pending, lifecycle, skips } = parts;
  checkStepOptions(lifecycle.at("step"), options);
  const { rescale = 1, weight = 1, clipGrad, onNonFinite = "propagate", gradNorm = false } = options;
  const scaler = scalerOf<S>(engine.backend, options.lossScaler);
  // Asked in any case: a scaler that was disposed refuses here, and not after the update.
  const carried = pending.scaleWith(scaler);
  // Gradients that carry no scale carry 1, where there is a scaler; it has no part in what becomes of them.
  const told = pending.isPlain ? undefined : scaler;
  const lossScale = scaler !== undefined && pending.isPlain ? engine.scalar(1) : carried;
  if (weight === 0) return false;
  const zeroNonFinite = lossScale === undefined && onNonFinite === "zero";
  const items = set.stepItems({ clipValue: false, ...clippingOf(clipGrad).rewrite, zeroNonFinite });
  if (items.length === 0) return false;
  const total = rescale / weight;
  const { finite } = runStep(engine.stages, items, {
    rescale: total,
    lossScale,
    lossScaler: told,
    clipGrad,
    onNonFinite,
    gradNorm,
  });
  for (const { parameter } of items) parameter.stepped = true;
  pending.stepped({ items, rescale: total, lossScale });
  if (finite !== undefined && told !== undefined) {
    told.record(finite);
    skips.stepped(lifecycle.at("step"), told, finite);
  }
  return true;
}

/** Nobody gets it now. Losses that garbage collection does not free have a `dispose`. */
function disposeLoss(value: unknown): void {
  (value as { dispose?(): void } | null | undefined)?.dispose?.();
}

function withoutGradient(value: unknown): OptimError {
  disposeLoss(value);
  return new OptimError("no-gradient", "backward: loss", {
    expected: "a gradient of at least one parameter that is not frozen",
    hint: "Ask for grad(name) inside the closure, or call wrapper.skip() where there is nothing to learn from",
  });
}

function scalerOf<S>(backend: string, lossScaler: LossScaler | undefined): EngineLossScaler<S> | undefined {
  if (lossScaler !== undefined && lossScaler.backend !== backend) {
    refuse("invalid-option", "lossScaler", `a loss scaler of ${backend}`, lossScaler.backend);
  }
  return lossScaler as EngineLossScaler<S> | undefined;
}
