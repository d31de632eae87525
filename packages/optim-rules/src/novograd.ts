import {
  add,
  defineUpdateRule,
  div,
  eq,
  max,
  mul,
  norm,
  select,
  sqrt,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { descent, square } from "./terms.ts";

export interface NovogradHyperparameters {
  lr: number;
  /** Decay rates of the momentum and of the average squared norm. */
  betas: readonly [beta1: number, beta2: number];
  /** Added outside the square root. */
  eps: number;
  /** λ, decoupled: λθ joins the normalized gradient. */
  weightDecay: number;
  /** Multiply what joins the momentum by 1 − β₁. */
  gradAveraging: boolean;
  /** Divide by the root of the largest v so far. Brings the scalar slot `maxExpAvgSq`. */
  amsgrad: boolean;
  maximize: boolean;
}

/**
 * NovoGrad (Ginsburg et al., arXiv:1905.11286, algorithm 1), as NVIDIA's code: the second moment is one number per tensor, so the state is
 * half of Adam's.
 *
 * ```
 * v ← ‖g‖² while v = 0, else β₂v + (1 − β₂)‖g‖²
 * m ← β₁m + g/(√v + ε) + λθ
 * θ ← θ − ηm
 * ```
 *
 * Slots: `expAvg` m; scalar slots `expAvgSq` v, with amsgrad `maxExpAvgSq`. Costs a second pass over the tensors, for the norm.
 *
 * Elsewhere: optax `novograd` has β = (0.9, 0.25) and ε = 1e-6 as defaults. The paper sets v = ‖g‖² at the first step only.
 */
export const novograd: UpdateRuleFactory<NovogradHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "NovoGrad",
  hyperparameters: {
    lr: 1e-3,
    betas: [0.95, 0.98],
    eps: 1e-8,
    weightDecay: 0,
    gradAveraging: false,
    amsgrad: false,
    maximize: false,
  },
  check: ({ lr, betas, eps, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: () => ({ expAvg: 0 }),
  scalarSlots: (_, { amsgrad }) => ({ expAvgSq: 0, ...(amsgrad && { maxExpAvgSq: 0 }) }),
  update(
    { param, grad, expAvg, expAvgSq, maxExpAvgSq },
    { lr, betas: [beta1, beta2], eps, weightDecay },
    { decays, gradAveraging, amsgrad, maximize },
  ) {
    const squared = square(norm(grad));
    const v = select(eq(expAvgSq, 0), squared, add(mul(beta2, expAvgSq), mul(sub(1, beta2), squared)));
    const largest = amsgrad ? max(maxExpAvgSq, v) : v;
    const normalized = div(descent(grad, maximize), add(sqrt(largest), eps));
    const direction = decays ? add(normalized, mul(weightDecay, param)) : normalized;
    const m = add(mul(beta1, expAvg), gradAveraging ? mul(sub(1, beta1), direction) : direction);
    return {
      param: sub(param, mul(lr, m)),
      expAvg: m,
      expAvgSq: v,
      ...(amsgrad && { maxExpAvgSq: largest }),
    };
  },
});
