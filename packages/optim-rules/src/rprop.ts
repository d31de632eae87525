import {
  defineUpdateRule,
  gt,
  lt,
  max,
  min,
  mul,
  select,
  sign,
  sub,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero, firstReason } from "./check.ts";
import { descent } from "./terms.ts";

export interface RpropHyperparameters {
  /** The size of every element's first step. Later changes have no effect: sizes adapt themselves. */
  lr: number;
  /** Factors of the size where the sign changed, and where it did not. */
  etas: readonly [minus: number, plus: number];
  /** Bounds of the size. */
  stepSizes: readonly [smallest: number, largest: number];
  maximize: boolean;
}

/**
 * Resilient backpropagation (Riedmiller & Braun, ICNN 1993; without weight backtracking, "iRprop−" of Igel & Hüsken 2000), as
 * `torch.optim.Rprop`. For full batches: only the signs of gradients count.
 *
 * ```
 * q = g·g′                        g′ the gradient before
 * s ← clamp(s·(q > 0 ? η₊ : q < 0 ? η₋ : 1), smallest, largest)
 * g ← 0 where q < 0
 * θ ← θ − sign(g)·s
 * g′ ← g
 * ```
 *
 * Slots: `prev` g′, `stepSize` s, which starts as `lr`.
 *
 * q is a float32 product, as PyTorch's: where it underflows (both gradients below 1e-23, say), sizes stay as they are.
 *
 * Elsewhere: the paper also takes the step before back where the sign changed; PyTorch does not.
 */
export const rprop: UpdateRuleFactory<RpropHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Rprop",
  hyperparameters: { lr: 1e-2, etas: [0.5, 1.2], stepSizes: [1e-6, 50], maximize: false },
  check: ({ lr, etas: [minus, plus], stepSizes }) =>
    firstReason(
      atLeastZero({ lr }),
      atLeastZero({ stepSizes }),
      minus > 0 && minus < 1 && plus > 1 ? undefined : "etas [minus, plus] with 0 < minus < 1 < plus",
      stepSizes[0] <= stepSizes[1] ? undefined : "stepSizes [smallest, largest] in this order",
    ),
  slots: () => ({ prev: 0, stepSize: ({ lr }) => lr }),
  update(
    { param, grad, prev, stepSize },
    { etas: [minus, plus], stepSizes: [smallest, largest] },
    { maximize },
  ) {
    const g = descent(grad, maximize);
    const product = mul(g, prev);
    const turned = lt(product, 0);
    const factor = select(gt(product, 0), plus, select(turned, minus, 1));
    const size = min(max(mul(stepSize, factor), smallest), largest);
    const kept = select(turned, 0, g);
    return { param: sub(param, mul(sign(kept), size)), prev: kept, stepSize: size };
  },
});
