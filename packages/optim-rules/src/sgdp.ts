import { add, defineUpdateRule, div, mul, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { projected } from "./projection.ts";
import { decayed, descent } from "./terms.ts";

export interface SgdpHyperparameters {
  lr: number;
  /** μ, from 0 to below 1. */
  momentum: number;
  /** The momentum takes in (1 − dampening)·g. */
  dampening: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ·ratio/(1 − μ). */
  weightDecay: number;
  /** Added to lengths. */
  eps: number;
  /** δ: the cosine of gradient and weights, times the root of their number, below which weights count as scale-invariant. */
  delta: number;
  /** The ratio of the decay where an update was projected; 1 where not. */
  wdRatio: number;
  nesterov: boolean;
  maximize: boolean;
}

/**
 * SGD for weights whose length does not matter (Heo et al., SGDP, arXiv:2006.08217, algorithm 2), as the authors' own (clovaai/AdamP).
 *
 * ```
 * b ← μb + (1 − dampening)g;  u = g + μb with Nesterov's momentum, else b
 * u ← u without what is along the weights, where they are scale-invariant: of each output, else of the tensor;  b likewise where u was b
 * θ ← θ(1 − ηλ·ratio/(1 − μ)) − ηu
 * ```
 *
 * A tensor of less than two dimensions is not projected. Slots: `momentumBuffer` b. Costs a second pass over matrices.
 *
 * Elsewhere: timm's leaves b as it was.
 */
export const sgdp: UpdateRuleFactory<SgdpHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "SGDP",
  shapes: "either",
  hyperparameters: {
    lr: 1e-2,
    momentum: 0,
    dampening: 0,
    weightDecay: 0,
    eps: 1e-8,
    delta: 0.1,
    wdRatio: 0.1,
    nesterov: false,
    maximize: false,
  },
  check: ({ lr, momentum, dampening, weightDecay, eps, delta, wdRatio }) =>
    firstReason(atLeastZero({ lr, dampening, weightDecay, eps, delta, wdRatio }), belowOne({ momentum })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ momentumBuffer: 0 }),
  update(x, h, { decays, nesterov, maximize, matrix }) {
    const g = descent(x.grad, maximize);
    const b = add(mul(h.momentum, x.momentumBuffer), mul(sub(1, h.dampening), g));
    const plain = nesterov ? add(g, mul(h.momentum, b)) : b;
    const { update, ratio } =
      matrix === true ? projected({ ...x, grad: g, update: plain }, h) : { update: plain, ratio: 1 };
    const rate = div(mul(h.lr, ratio), sub(1, h.momentum));
    return {
      param: sub(decayed(x.param, rate, h.weightDecay, decays), mul(h.lr, update)),
      momentumBuffer: nesterov ? b : update,
    };
  },
});
