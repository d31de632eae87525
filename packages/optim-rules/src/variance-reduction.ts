import { add, div, eq, max, mul, norm, type Scalar, select, sub, type Tensor } from "@mm/optim-core/rule";

/**
 * MARS's gradient (Yuan et al., arXiv:2411.10438): corrected by its change, g + γ·β/(1 − β)·(g − g′), and no longer than 1. Where the first one is
 * not corrected, it is not clipped either.
 */
export function varianceReduced(
  grad: Tensor,
  { step, lastGrad }: { readonly step: Scalar; readonly lastGrad: Tensor },
  beta: Scalar,
  gamma: Scalar,
  correctsFirst: boolean,
): Tensor {
  const change = sub(grad, lastGrad);
  const corrected = add(grad, mul(div(mul(gamma, beta), sub(1, beta)), change));
  const clipped = mul(corrected, div(1, max(norm(corrected), 1)));
  return correctsFirst ? clipped : select(eq(step, 1), grad, clipped);
}
