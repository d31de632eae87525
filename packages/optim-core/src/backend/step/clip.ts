import type { ClipGrad } from "../../options.ts";

/**
 * The clip coefficient: min(1, maxNorm ÷ (norm + 1e-6)), always multiplied, so that a norm of exactly `maxNorm` still shrinks by a hair;
 * and NaN or 0 for a norm that is not finite, as `torch.nn.utils.clip_grad_norm_` has it.
 */
export function clipCoefficient(norm: number, clipGrad: ClipGrad | undefined): number {
  if (clipGrad === undefined || clipGrad.type === "value") return 1;
  return Math.min(1, clipGrad.maxNorm / (norm + 1e-6));
}
