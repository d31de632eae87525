import {
  add,
  defineUpdateRule,
  div,
  dot,
  max,
  mul,
  norm,
  orthogonalize,
  perColumn,
  perRow,
  pow,
  type Scalar,
  sqrt,
  sub,
  sum,
  type Tensor,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";

/** Muon (Jordan et al., https://kellerjordan.github.io/posts/muon), with Nesterov's momentum. */
export const muon: UpdateRuleFactory<{ lr: number; momentum: number; weightDecay: number }> =
  defineUpdateRule({
    name: "Muon",
    shapes: "matrix",
    hyperparameters: { lr: 0.02, momentum: 0.95, weightDecay: 0.1 },
    slots: () => ({ momentumBuffer: 0 }),
    update({ param, grad, momentumBuffer, rows, cols }, { lr, momentum, weightDecay }) {
      const m = add(mul(momentum, momentumBuffer), mul(sub(1, momentum), grad));
      const u = add(mul(momentum, m), mul(sub(1, momentum), grad));
      const rate = mul(lr, sqrt(max(1, div(rows, cols))));
      return {
        param: sub(mul(param, sub(1, mul(lr, weightDecay))), mul(rate, orthogonalize(u))),
        momentumBuffer: m,
      };
    },
  });

/** Adafactor (Shazeer and Stern, arXiv:1804.04235) as PyTorch has it, for matrices: a slot per row, one per column, norms of what depends on them. */
export const adafactor: UpdateRuleFactory<{
  lr: number;
  decay: number;
  epsilon: number;
  d: number;
}> = defineUpdateRule({
  name: "Adafactor",
  shapes: "matrix",
  hyperparameters: { lr: 0.1, decay: -0.8, epsilon: 1e-3, d: 1 },
  slots: () => ({ rowVar: perRow(), colVar: perColumn() }),
  update(x, { lr, decay, epsilon, d }) {
    const { param, grad, step, rows, cols, size } = x;
    const fresh = pow(step, decay);
    const rms = (of: Tensor): Scalar => div(norm(of), sqrt(size));
    const rowVar = add(x.rowVar, mul(fresh, sub(div(dot(grad, grad, "row"), cols), x.rowVar)));
    const colVar = add(x.colVar, mul(fresh, sub(div(dot(grad, grad, "column"), rows), x.colVar)));
    const estimate = div(mul(rowVar, colVar), max(div(sum(rowVar), rows), 1e-30));
    const update = div(grad, sqrt(max(estimate, 1e-30)));
    const rate = mul(max(epsilon, rms(param)), mul(lr, div(1, sqrt(step))));
    return {
      param: sub(param, mul(div(rate, max(1, div(rms(update), d))), update)),
      rowVar,
      colVar,
    };
  },
});
