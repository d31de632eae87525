import {
  add,
  defineUpdateRule,
  div,
  eq,
  max,
  mul,
  pow,
  select,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, firstReason } from "./check.ts";
import { penalized } from "./terms.ts";

export interface AsgdHyperparameters {
  lr: number;
  /** λ₀, the decay that makes the rate fall. */
  lambd: number;
  /** α, the power with which it falls. */
  alpha: number;
  /** The step after which averaging begins. */
  t0: number;
  /** λ of the L2 penalty, added to the gradient. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * Averaged stochastic gradient descent (Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992), as
 * `torch.optim.ASGD`.
 *
 * ```
 * g ← g + λθ
 * θ ← θ(1 − λ₀ηₜ) − ηₜg
 * x ← θ where μₜ = 1, else x + (θ − x)μₜ
 * ηₜ₊₁ = η/(1 + λ₀ηt)^α,   μₜ₊₁ = 1/max(1, t − t₀)       from η and 1
 * ```
 *
 * Slots: `ax` x, the average, at which a model is evaluated (`wrapper.evaluating(run)`); scalar slots `eta` ηₜ, which starts as `lr`, and `mu` μₜ.
 * A new learning rate takes effect one step later, as in PyTorch.
 *
 * Elsewhere: some PyTorch 2 releases compute η/(1 + λ₀ηtᵅ) in their multi-tensor path. For plain averages of any rule use `ema` or `swa`.
 */
export const asgd: UpdateRuleFactory<AsgdHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "ASGD",
  hyperparameters: { lr: 1e-2, lambd: 1e-4, alpha: 0.75, t0: 1e6, weightDecay: 0, maximize: false },
  check: ({ lr, lambd, alpha, t0, weightDecay }) =>
    firstReason(atLeastZero({ lr, lambd, alpha, t0, weightDecay })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ ax: "param" }),
  scalarSlots: ({ lr }) => ({ eta: lr, mu: 1 }),
  update({ param, grad, step, ax, eta, mu }, { lr, lambd, alpha, t0, weightDecay }, structure) {
    const g = penalized({ param, grad }, weightDecay, structure);
    const next = sub(mul(param, sub(1, mul(lambd, eta))), mul(eta, g));
    return {
      param: next,
      ax: select(eq(mu, 1), next, add(ax, mul(sub(next, ax), mu))),
      eta: div(lr, pow(add(1, mul(mul(lambd, lr), step)), alpha)),
      mu: div(1, max(1, sub(step, t0))),
    };
  },
  evaluate: ({ ax }) => ax,
});
