import { add, defineUpdateRule, div, mul, norm, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { aboveZero, atLeastZero, firstReason } from "./check.ts";
import { penalized, whereBothAreAboveZero } from "./terms.ts";

export interface LarsHyperparameters {
  lr: number;
  /** μ; above 0 it brings the slot `momentumBuffer`. */
  momentum: number;
  /** λ of the L2 penalty, added to the gradient. Use a group with 0 for biases and normalization. */
  weightDecay: number;
  /** τ: how far a layer may move in one step, relative to its norm, before η. */
  trustCoefficient: number;
  /** Added to the denominator of the local rate. */
  eps: number;
  nesterov: boolean;
  maximize: boolean;
}

/**
 * LARS, layer-wise adaptive rate scaling for large batches (You et al., arXiv:1708.03888, algorithm 1), as TensorFlow's
 * `LARSOptimizer`. A layer is a tensor.
 *
 * ```
 * l = τ‖θ‖ / (‖g‖ + λ‖θ‖ + ε)                1 where one of the norms is 0
 * d = ηl(g + λθ)
 * b ← μb + d
 * θ ← θ − b, or θ − (d + μb) with Nesterov's momentum
 * ```
 *
 * Slots: `momentumBuffer` b where μ > 0. Costs a second pass over the tensors, for the norms.
 *
 * Elsewhere: NVIDIA's LARC multiplies by η after the momentum, which differs where the learning rate changes. optax `lars` divides by
 * ‖g + λθ‖, and has λ = 0 as its default. The paper has no ε, and no default η: ours is 1.
 */
export const lars: UpdateRuleFactory<LarsHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "LARS",
  hyperparameters: {
    lr: 1,
    momentum: 0.9,
    weightDecay: 1e-4,
    trustCoefficient: 1e-3,
    eps: 0,
    nesterov: false,
    maximize: false,
  },
  check: ({ lr, momentum, weightDecay, trustCoefficient, eps, nesterov }) =>
    firstReason(
      atLeastZero({ lr, momentum, weightDecay, eps }),
      aboveZero({ trustCoefficient }),
      nesterov && momentum === 0 ? "a momentum above 0 with nesterov" : undefined,
    ),
  structure: ({ momentum, weightDecay }) => ({ hasMomentum: momentum !== 0, decays: weightDecay !== 0 }),
  slots: ({ hasMomentum }) => (hasMomentum ? { momentumBuffer: 0 } : {}),
  update({ param, grad, momentumBuffer }, { lr, momentum, weightDecay, trustCoefficient, eps }, structure) {
    const [length, size] = [norm(param), norm(grad)];
    const local = div(mul(trustCoefficient, length), add(add(size, mul(weightDecay, length)), eps));
    const rate = mul(lr, whereBothAreAboveZero(length, size, local, 1));
    const delta = mul(rate, penalized({ param, grad }, weightDecay, structure));
    if (!structure.hasMomentum) return { param: sub(param, delta) };
    const buffer = add(mul(momentum, momentumBuffer), delta);
    return {
      param: sub(param, structure.nesterov ? add(delta, mul(momentum, buffer)) : buffer),
      momentumBuffer: buffer,
    };
  },
});
