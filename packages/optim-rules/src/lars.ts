import { add, defineUpdateRule, div, min, mul, norm, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
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
  /** Let the local rate be at most 1: l ← min(l/η, 1), as NVIDIA's LARC with `clip`. */
  trustClip: boolean;
  /** Take the local rate where λ = 0, too. NVIDIA and timm do not, so that such a group is driven by SGD. */
  alwaysAdapt: boolean;
  /** Multiply by η before the momentum. NVIDIA and timm multiply after it, which differs where η changes. */
  lrInMomentum: boolean;
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
 * Elsewhere: NVIDIA's LARC and timm's LARS have `alwaysAdapt` and `lrInMomentum` false. optax `lars` divides by ‖g + λθ‖, and has λ = 0 as its
 * default. The paper has no ε, and no default η: ours is 1.
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
    trustClip: false,
    alwaysAdapt: true,
    lrInMomentum: true,
    maximize: false,
  },
  check: ({ lr, momentum, weightDecay, trustCoefficient, eps, nesterov }) =>
    firstReason(
      atLeastZero({ lr, momentum, weightDecay, eps }),
      aboveZero({ trustCoefficient }),
      nesterov && momentum === 0 ? "a momentum above 0 with nesterov" : undefined,
    ),
  structure: ({ momentum, weightDecay, alwaysAdapt }) => ({
    hasMomentum: momentum !== 0,
    decays: weightDecay !== 0,
    adapts: alwaysAdapt || weightDecay !== 0,
  }),
  slots: ({ hasMomentum }) => (hasMomentum ? { momentumBuffer: 0 } : {}),
  update(x, { lr, momentum, weightDecay, trustCoefficient, eps }, structure) {
    const [length, size] = [norm(x.param), norm(x.grad)];
    const local = div(mul(trustCoefficient, length), add(add(size, mul(weightDecay, length)), eps));
    const trusted = whereBothAreAboveZero(length, size, local, 1);
    const ratio = structure.trustClip ? min(div(trusted, lr), 1) : trusted;
    const [inside, outside] = structure.lrInMomentum ? [lr, 1] : [1, lr];
    const rate = structure.adapts ? mul(inside, ratio) : inside;
    const delta = mul(rate, penalized(x, weightDecay, structure));
    if (!structure.hasMomentum) return { param: sub(x.param, mul(outside, delta)) };
    const buffer = add(mul(momentum, x.momentumBuffer), delta);
    const step = structure.nesterov ? add(delta, mul(momentum, buffer)) : buffer;
    return { param: sub(x.param, mul(outside, step)), momentumBuffer: buffer };
  },
});
