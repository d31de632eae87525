import { defineUpdateRule, div, max, mul, sqrt, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { orthogonal } from "./newton-schulz.ts";
import { average, decayed, descent } from "./terms.ts";
import { varianceReduced } from "./variance-reduction.ts";

export interface MarsShampooHyperparameters {
  lr: number;
  /** β, decay rate of the average of the corrected gradient. */
  momentum: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  /** γ, how much of the gradient's change corrects it. */
  gamma: number;
  /** Correct and clip the first gradient too, taking 0 for the one before, as the authors do. timm does not. */
  correctsFirst: boolean;
  maximize: boolean;
}

/**
 * MARS-Shampoo (Yuan et al., arXiv:2411.10438, algorithm 4), as the authors' code: an average of gradients whose variance their own change reduces,
 * orthogonalized as Muon's. For matrices alone.
 *
 * ```
 * c = g + γ·β/(1 − β)·(g − g′)             g′ the gradient before
 * c ← c/max(1, ‖c‖)                        ‖c‖ of the tensor
 * m ← βm + (1 − β)c
 * θ ← θ(1 − ηλ) − η√max(1, rows/cols)·orthogonalize(m/(1 − β))
 * g′ ← g
 * ```
 *
 * Slots: `expAvg` m, `lastGrad` g′.
 */
export const marsShampoo: UpdateRuleFactory<MarsShampooHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "MARSShampoo",
  shapes: "matrix",
  hyperparameters: {
    lr: 3e-3,
    momentum: 0.95,
    weightDecay: 0,
    gamma: 0.025,
    correctsFirst: true,
    maximize: false,
  },
  check: ({ lr, momentum, weightDecay, gamma }) =>
    firstReason(atLeastZero({ lr, weightDecay, gamma }), belowOne({ momentum })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0, lastGrad: 0 }),
  update(x, { lr, momentum, weightDecay, gamma }, { decays, maximize, correctsFirst }) {
    const g = descent(x.grad, maximize);
    const m = average(momentum, x.expAvg, varianceReduced(g, x, momentum, gamma, correctsFirst));
    const direction = orthogonal(div(m, sub(1, momentum)), { eps: 1e-8 });
    const rate = mul(lr, sqrt(max(1, div(x.rows, x.cols))));
    return {
      param: sub(decayed(x.param, lr, weightDecay, decays), mul(rate, direction)),
      expAvg: m,
      lastGrad: g,
    };
  },
});
