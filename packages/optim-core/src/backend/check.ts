import { OptimError } from "../errors.ts";
import type { Checked, CheckRequest, StepItem } from "./engine.ts";
import type { VectorKernels } from "./vectors.ts";

/** Σ|x|ᵖ of finite float32 values stays finite in float64 up to this power; above it elements are divided by the largest first. */
const largestDirectPower = 7;

/**
 * Check, where the host decides: one reduction per tensor finds the norm and whether all is finite, since in float64 a sum of powers of
 * finite float32 values is finite.
 *
 * @throws OptimError `non-finite-gradient` with `orThrow`
 */
export function checkOnHost<P, V>(
  kernels: VectorKernels<V>,
  items: readonly StepItem<P, V, number>[],
  { normType, finite, orThrow }: CheckRequest,
): Checked<number> {
  if (normType === undefined && !finite) return { norm: undefined, finite: undefined };
  const accumulators = items.map(({ parameter }) => parameter.accumulator as V);
  const norm = pNorm(kernels, accumulators, normType ?? Number.POSITIVE_INFINITY);
  const allFinite = Number.isFinite(norm);
  if (orThrow && !allFinite) {
    const culprit = items.find(({ parameter }) => !Number.isFinite(kernels.reduce(parameter.accumulator as V, "max")));
    throw new OptimError("non-finite-gradient", `step: the gradient of ${JSON.stringify(culprit?.parameter.name)}`, {
      expected: "finite gradients",
      received: norm,
      hint: 'Parameters and state are unchanged and the gradients pending. Call zeroGrad() to go on, or choose onNonFinite: "skip"',
    });
  }
  return { norm: normType === undefined ? undefined : norm, finite: finite ? Number(allFinite) : undefined };
}

/** The p-norm of all vectors together; of an empty list 0. */
export function pNorm<V>(kernels: VectorKernels<V>, vectors: readonly V[], p: number): number {
  let largest = 0;
  if (p === Number.POSITIVE_INFINITY || p > largestDirectPower) {
    for (const vector of vectors) largest = Math.max(largest, kernels.reduce(vector, "max"));
    if (p === Number.POSITIVE_INFINITY || largest === 0 || !Number.isFinite(largest)) return largest;
  }
  const reduction = { power: p, scale: largest === 0 ? 1 : largest };
  let sum = 0;
  for (const vector of vectors) sum += kernels.reduce(vector, reduction);
  return reduction.scale * (p === 1 ? sum : p === 2 ? Math.sqrt(sum) : sum ** (1 / p));
}
