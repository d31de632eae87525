import {
  add,
  gt,
  type Joined,
  mul,
  neg,
  type Operand,
  type Scalar,
  select,
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

/** A ratio of norms where both are above 0, else what stands in for it. */
export function whereBothAreAboveZero(a: Scalar, b: Scalar, ratio: Scalar, otherwise: number): Scalar {
  return select(gt(a, 0), select(gt(b, 0), ratio, otherwise), otherwise);
}
