import {
  abs,
  add,
  div,
  dot,
  gt,
  largest,
  lt,
  max,
  mul,
  norm,
  type Row,
  type Scalar,
  select,
  sign,
  sqrt,
  sub,
  sum,
  type Tensor,
} from "@mm/optim-core/rule";

/** The value that is projected, and the gradient by which it is decided whether. */
export interface Projected {
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly update: Tensor;
  readonly cols: Scalar;
  readonly size: Scalar;
}

/** The bound δ, the factor of the decay where something was projected, and ε. */
export interface ProjectionBounds {
  readonly delta: Scalar;
  readonly wdRatio: Scalar;
  readonly eps: Scalar;
}

/**
 * Takes what makes weights longer out of an update, where they look scale-invariant (Heo et al., arXiv:2006.08217, equation 12, algorithm 2): where the
 * gradient is nearly orthogonal to each row, of each row, else where it is so to the whole tensor, of that.
 *
 * ```
 * max over rows |cos(g, θ)| < δ/√cols:  u ← u − θ̂⟨θ̂, u⟩ per row with θ̂ = θ/(‖θ‖ + ε);  likewise of the whole tensor with √size
 * ```
 *
 * @param cautious leave out uphill elements between two projections
 * @returns the update, and the factor of the weight decay: `wdRatio` where it was projected, else 1
 */
export function projected(
  { param, grad, update, cols, size }: Projected,
  { delta, wdRatio, eps }: ProjectionBounds,
  cautious = false,
): { readonly update: Tensor; readonly ratio: Scalar } {
  const rowLength = (x: Tensor): Row => sqrt(dot(x, x, "row"));
  const [rows, whole] = [rowLength(param), norm(param)];
  const ofRows = div(abs(dot(param, grad, "row")), max(mul(rows, rowLength(grad)), eps));
  const ofWhole = div(abs(dot(param, grad)), max(mul(whole, norm(grad)), eps));
  const byRow = lt(largest(ofRows), div(delta, sqrt(cols)));
  const byWhole = lt(ofWhole, div(delta, sqrt(size)));
  const [row, all] = [add(rows, eps), add(whole, eps)];
  const acrossRows = (x: Tensor): Tensor => sub(x, mul(div(param, row), div(dot(param, x, "row"), row)));
  const across = (x: Tensor): Tensor => sub(x, mul(div(param, all), div(dot(param, x), all)));
  const taken = (project: (x: Tensor) => Tensor): Tensor =>
    cautious ? project(uphillLeftOut(project(update), project(grad), size)) : project(update);
  const otherwise = cautious ? uphillLeftOut(update, grad, size) : update;
  return {
    update: select(byRow, taken(acrossRows), select(byWhole, taken(across), otherwise)),
    ratio: select(byRow, wdRatio, select(byWhole, wdRatio, 1)),
  };
}

/** An update without the elements whose sign is not that of the gradient, divided by the share that stays (arXiv:2411.16085), as timm has it. */
export function uphillLeftOut(update: Tensor, grad: Tensor, size: Scalar): Tensor {
  const stays = gt(mul(sign(update), sign(grad)), 0);
  return div(select(stays, update, 0), max(div(sum(select(stays, 1, 0)), size), 1e-3));
}
