import type { ClipGrad, ClipGradByNorm, ClipGradByValue } from "../../options.ts";
import type { GradientRewrite } from "../program/program.ts";

/**
 * How the stages of a step clip: by the norm of all gradients together, which is in the factor, or with a bound that programs read, whose gradient leaf
 * does the rest.
 */
export type StepClip = Omit<ClipGradByNorm, "per"> | ClipGradByValue;

/** A kind of clipping, as the parts of a step do it: its stages, its programs, its check. */
export interface Clipping {
  readonly stages?: StepClip;
  readonly rewrite?: Pick<GradientRewrite, "clipNorm" | "clipUnits"> & { readonly clipValue?: boolean };
  /** p of the norm of all gradients that is measured for it. */
  readonly normType?: number;
  readonly orThrow?: boolean;
}

/** The one place where kinds of clipping are told apart. */
export function clippingOf(clipGrad: ClipGrad | undefined): Clipping {
  if (clipGrad === undefined) return {};
  if (clipGrad.type === "value") return { stages: clipGrad, rewrite: { clipValue: true } };
  if (clipGrad.type === "adaptive") {
    const { clipFactor: clipValue, eps: clipUnits = 1e-3 } = clipGrad;
    return { stages: { type: "value", clipValue }, rewrite: { clipUnits }, normType: 2 };
  }
  const { maxNorm, normType = 2, per, errorIfNonfinite: orThrow = false } = clipGrad;
  return per === "tensor"
    ? { stages: { type: "value", clipValue: maxNorm }, rewrite: { clipNorm: normType }, normType, orThrow }
    : { stages: clipGrad, normType, orThrow };
}

/**
 * The clip coefficient: min(1, maxNorm ÷ (norm + 1e-6)), always multiplied, so that a norm of exactly `maxNorm` still shrinks by a hair;
 * and NaN or 0 for a norm that is not finite, as `torch.nn.utils.clip_grad_norm_` has it.
 */
export function clipCoefficient(norm: number, clipGrad: StepClip | undefined): number {
  if (clipGrad === undefined || clipGrad.type === "value") return 1;
  return Math.min(1, clipGrad.maxNorm / (norm + 1e-6));
}
