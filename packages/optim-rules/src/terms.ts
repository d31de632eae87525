import {
  add,
  biasCorrection,
  div,
  gt,
  type Joined,
  max,
  min,
  mul,
  neg,
  norm,
  type Operand,
  type Scalar,
  select,
  sqrt,
  sub,
  type Tensor,
} from "@mm/optim-core/rule";

/** The exponential running average βm + (1 − β)x. */
export function average(beta: Scalar | number, mean: Tensor, x: Tensor): Tensor {
  return add(mul(beta, mean), mul(sub(1, beta), x));
}

/** x² */
export function square<A extends Operand>(x: A): Joined<A> {
  return mul(x, x);
}

/** The gradient to descend along: the negative one where the objective is maximized. */
export function descent(grad: Tensor, maximize: boolean): Tensor {
  return maximize ? neg(grad) : grad;
}

/** The gradient with an L2 penalty, g + λθ, negated first where the objective is maximized. */
export function penalized(
  { param, grad }: { readonly param: Tensor; readonly grad: Tensor },
  weightDecay: Scalar,
  { maximize, decays }: { readonly maximize: boolean; readonly decays: boolean },
): Tensor {
  const g = descent(grad, maximize);
  return decays ? add(g, mul(weightDecay, param)) : g;
}

/** Decoupled weight decay, θ(1 − ηλ). */
export function decayed(param: Tensor, lr: Scalar, weightDecay: Scalar, decays: boolean): Tensor {
  return decays ? mul(param, sub(1, mul(lr, weightDecay))) : param;
}

/** Adam's step, η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε). */
export function adamStep(
  m: Tensor,
  v: Tensor,
  step: Scalar,
  { lr, betas: [beta1, beta2], eps }: { lr: Scalar; betas: readonly [Scalar, Scalar]; eps: Scalar },
): Tensor {
  return mul(div(lr, biasCorrection(beta1, step)), div(m, correctedRoot(v, beta2, step, eps)));
}

/** √v/√(1 − βᵗ) + ε: the root of an average of squares, its bias corrected. */
export function correctedRoot(v: Tensor, beta: Scalar, step: Scalar, eps: Scalar): Tensor {
  return add(div(sqrt(v), sqrt(biasCorrection(beta, step))), eps);
}

/** x, no further from 0 than the bound. */
export function clipped(x: Tensor, bound: Scalar): Tensor {
  return max(min(x, bound), neg(bound));
}

/** A ratio of norms where both are above 0, else what stands in for it. */
export function whereBothAreAboveZero(a: Scalar, b: Scalar, ratio: Scalar, otherwise: number): Scalar {
  return select(gt(a, 0), select(gt(b, 0), ratio, otherwise), otherwise);
}

/** How many elements a tensor has: the squared norm of ones. A pass over the tensor, which a rule that takes norms makes anyway. */
export function elementCount(x: Tensor): Scalar {
  return square(norm(select(gt(x, 0), 1, 1)));
}
