import type { ClipGrad, ClipGradByNorm, ClipGradByValue } from "../../options.ts";
import type { GradientRewrite } from "../program/program.ts";

/**
 * How the stages of a step clip: by the norm of all gradients together, which is in the factor, or with a bound that programs read, whose gradient leaf
 * does the rest.
 */
export type StepClip = Omit<ClipGradByNorm, "per"> | ClipGradByValue;

/** The change of the gradient in programs. */
export function rewriteOf(clipGrad: ClipGrad | undefined, zeroNonFinite: boolean): GradientRewrite {
  if (clipGrad?.type === "value") return { clipValue: true, zeroNonFinite };
  if (clipGrad?.type === "adaptive")
    return { clipValue: false, zeroNonFinite, clipUnits: clipGrad.eps ?? 1e-3 };
  return clipGrad?.per === "tensor"
    ? { clipValue: false, zeroNonFinite, clipNorm: clipGrad.normType ?? 2 }
    : { clipValue: false, zeroNonFinite };
}

/** The clipping that the stages do. */
export function stepClipOf(clipGrad: ClipGrad | undefined): StepClip | undefined {
  if (clipGrad?.type === "adaptive") return { type: "value", clipValue: clipGrad.clipFactor };
  if (clipGrad === undefined || clipGrad.type === "value" || clipGrad.per !== "tensor") return clipGrad;
  return { type: "value", clipValue: clipGrad.maxNorm };
}

/**
 * The clip coefficient: min(1, maxNorm ÷ (norm + 1e-6)), always multiplied, so that a norm of exactly `maxNorm` still shrinks by a hair;
 * and NaN or 0 for a norm that is not finite, as `torch.nn.utils.clip_grad_norm_` has it.
 */
export function clipCoefficient(norm: number, clipGrad: StepClip | undefined): number {
  if (clipGrad === undefined || clipGrad.type === "value") return 1;
  return Math.min(1, clipGrad.maxNorm / (norm + 1e-6));
}
