import { refuse } from "../../errors.ts";
import type { Checked, CheckRequest, StepItem } from "../engine.ts";
import type { VectorKernels } from "../program/vectors.ts";

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
  { normType, finite, ignoreNonFinite, orThrow }: CheckRequest,
): Checked<number> {
  if (normType === undefined && !finite) return { norm: undefined, finite: undefined };
  const accumulators = items.map(({ parameter }) => parameter.accumulator as V);
  const p = normType ?? Number.POSITIVE_INFINITY;
  let measured = pNorm(kernels, accumulators, p, false);
  if (!measured.finite && ignoreNonFinite) measured = pNorm(kernels, accumulators, p, true);
  if (orThrow && !measured.finite) {
    const culprit = items.find(
      ({ parameter }) => !Number.isFinite(kernels.reduce(parameter.accumulator as V, "max")),
    );
    const who = `step: the gradient of ${JSON.stringify(culprit?.parameter.name)}`;
    refuse("non-finite-gradient", who, "finite elements", measured.norm, {
      hint: 'Nothing was changed, the gradients are pending: call zeroGrad(), or choose onNonFinite: "skip"',
    });
  }
  return {
    norm: normType === undefined ? undefined : measured.norm,
    finite: finite ? Number(measured.finite) : undefined,
  };
}

/** The p-norm of all vectors together, 0 for an empty list; and whether every element is finite. */
function pNorm<V>(
  kernels: VectorKernels<V>,
  vectors: readonly V[],
  p: number,
  finiteOnly: boolean,
): { readonly norm: number; readonly finite: boolean } {
  let largest = 0;
  if (p > largestDirectPower) {
    for (const vector of vectors) largest = Math.max(largest, kernels.reduce(vector, "max", finiteOnly));
    if (p === Number.POSITIVE_INFINITY || largest === 0 || !Number.isFinite(largest)) {
      return { norm: largest, finite: Number.isFinite(largest) };
    }
  }
  const reduction = { power: p, scale: largest === 0 ? 1 : largest };
  let sum = 0;
  for (const vector of vectors) sum += kernels.reduce(vector, reduction, finiteOnly);
  const root = p === 1 ? sum : p === 2 ? Math.sqrt(sum) : sum ** (1 / p);
  return { norm: reduction.scale * root, finite: Number.isFinite(sum) };
}
