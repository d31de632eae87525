import {
  add,
  defineUpdateRule,
  div,
  dot,
  eq,
  max,
  min,
  mul,
  select,
  shared,
  sqrt,
  sub,
  total,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { aboveZero, atLeastZero, belowOne, firstReason } from "./check.ts";
import { descent, penalized } from "./terms.ts";

export interface DAdaptSgdHyperparameters {
  /** η, a factor of the step size that is found: 1, or the course of a schedule that begins there. */
  lr: number;
  /** μ, how far the parameter stays behind what the sum of gradients says. */
  momentum: number;
  /** λ of the L2 penalty: adds λθ to the gradient. */
  weightDecay: number;
  /** The first estimate of the distance to the solution. Small: what is too large is never taken back. */
  d0: number;
  /** The most that d grows by in a step, as a factor; 0: no bound. */
  growthRate: number;
  maximize: boolean;
}

/**
 * SGD whose step size is found while it trains (Defazio & Mishchenko, D-Adaptation, arXiv:2301.07733, algorithm 4), as the authors' own
 * (facebookresearch/dadaptation).
 *
 * ```
 * G = √Σ‖g‖² of the first gradients that are not 0, without decay;  δ = dη/G
 * g ← g + λθ
 * N ← N + Σ δ⟨g, s⟩                s of before; Σ over all tensors that take the step
 * s ← s + δg;  d ← max(d, min(2N/√Σ‖s‖², d·growth))
 * θ ← μθ + (1 − μ)(θ₀ − s)
 * ```
 *
 * Slots: `x0` θ₀, the parameter at its first step, and `s`; shared by all tensors `d`, `numeratorWeighted` N and `g0Norm` G. Waits for the passes of
 * all tensors twice.
 */
export const dAdaptSgd: UpdateRuleFactory<DAdaptSgdHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "DAdaptSGD",
  hyperparameters: { lr: 1, momentum: 0, weightDecay: 0, d0: 1e-6, growthRate: 0, maximize: false },
  check: ({ lr, momentum, weightDecay, d0, growthRate }) =>
    firstReason(atLeastZero({ lr, weightDecay, growthRate }), belowOne({ momentum }), aboveZero({ d0 })),
  structure: ({ weightDecay, growthRate }) => ({ decays: weightDecay !== 0, grows: growthRate !== 0 }),
  slots: () => ({ x0: "param", s: 0 }),
  scalarSlots: ({ d0 }) => ({ d: shared(d0), numeratorWeighted: shared(0), g0Norm: shared(0) }),
  update(x, { lr, momentum, weightDecay, growthRate }, { decays, grows, maximize }) {
    const raw = descent(x.grad, maximize);
    const first = select(eq(x.g0Norm, 0), sqrt(total(dot(raw, raw))), x.g0Norm);
    const rate = select(eq(first, 0), 0, div(mul(x.d, lr), select(eq(first, 0), 1, first)));
    const g = penalized(x, weightDecay, { decays, maximize });
    const s = add(x.s, mul(rate, g));
    const numerator = add(x.numeratorWeighted, total(mul(rate, dot(g, x.s))));
    const length = sqrt(total(dot(s, s)));
    const guess = div(mul(2, numerator), select(eq(length, 0), 1, length));
    const next = max(x.d, grows ? min(guess, mul(x.d, growthRate)) : guess);
    return {
      param: add(mul(momentum, x.param), mul(sub(1, momentum), sub(x.x0, s))),
      x0: x.x0,
      s,
      d: next,
      numeratorWeighted: numerator,
      g0Norm: first,
    };
  },
});
