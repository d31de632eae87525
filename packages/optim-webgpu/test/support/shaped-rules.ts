import {
  add,
  defineUpdateRule,
  div,
  max,
  mul,
  orthogonalize,
  sqrt,
  sub,
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
