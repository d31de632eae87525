import {
  add,
  defineUpdateRule,
  div,
  mul,
  norm,
  sqrt,
  sub,
  type UpdateRule,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { oneOf } from "@mm/optim-core/schema";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import type { MuonHyperparameters } from "./muon.ts";
import { byOptions, momentumOf, type NewtonSchulzOptions, orthogonal } from "./newton-schulz.ts";
import { average, correctedRoot, decayed, square } from "./terms.ts";

export interface AdaMuonHyperparameters extends MuonHyperparameters {
  /** β₂, decay rate of the average of the squared direction. */
  beta2: number;
  /** Added outside the square root, and to the norm. */
  eps: number;
}

export interface AdaMuonOptions extends NewtonSchulzOptions {
  /** `"matchRmsAdamW"` (default): steps of the root mean square 0.2, as AdamW's; `"rmsToRms"`: by the bias-corrected root, times √(rows/cols). */
  readonly scale?: "matchRmsAdamW" | "rmsToRms";
}

/**
 * Muon whose direction is divided, element by element, by the root of an average of its squares (Si et al., AdaMuon, arXiv:2507.11005), as
 * timm's with `algo: "adamuon"`. For matrices alone, beside another rule for the rest.
 *
 * ```
 * m ← μm + (1 − μ)g;  o = orthogonalize(m), of (1 − μ)g + μm with Nesterov's momentum
 * v ← β₂v + (1 − β₂)o²;  d = o/(√v + ε)
 * θ ← θ(1 − ηλ) − η·0.2√(rows·cols)·d/(‖d‖ + ε)
 * ```
 *
 * Slots: `momentumBuffer` m, `expAvgSq` v. Costs a pass more than Muon.
 *
 * Elsewhere: the paper orthogonalizes the sign of m; timm's rows and cols of a convolution's kernel are its sides.
 *
 * @param options how to orthogonalize and to scale. They are compiled in, and belong to the program: a saved state has none of them
 * @throws OptimError `invalid-option`, `unknown-option`, `invalid-hyperparameter`
 */
export function adaMuon(
  hyperparameters: Partial<Readonly<AdaMuonHyperparameters>> = {},
  options: AdaMuonOptions = {},
): UpdateRule<AdaMuonHyperparameters> {
  return factoryFor(options)(hyperparameters);
}

const factoryFor = /* @__PURE__ */ byOptions(
  "AdaMuon",
  () => ({ "scale?": oneOf("matchRmsAdamW", "rmsToRms") }),
  define,
);

function define(options: AdaMuonOptions): UpdateRuleFactory<AdaMuonHyperparameters> {
  return defineUpdateRule({
    name: "AdaMuon",
    shapes: "matrix",
    hyperparameters: {
      lr: 0.02,
      momentum: 0.95,
      beta2: 0.95,
      eps: 1e-7,
      weightDecay: 0,
      nesterov: false,
      maximize: false,
    },
    check: ({ lr, momentum, beta2, eps, weightDecay }) =>
      firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ momentum, beta2 })),
    structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
    slots: () => ({ momentumBuffer: 0, expAvgSq: 0 }),
    update(x, { lr, momentum, beta2, eps, weightDecay }, flags) {
      const { m, u } = momentumOf(x, momentum, flags);
      const o = orthogonal(u, options);
      const v = average(beta2, x.expAvgSq, square(o));
      const d = div(o, add(sqrt(v), eps));
      const step =
        options.scale === "rmsToRms"
          ? mul(mul(lr, sqrt(div(x.rows, x.cols))), div(o, correctedRoot(v, beta2, x.step, eps)))
          : mul(div(mul(mul(lr, 0.2), sqrt(x.size)), add(norm(d), eps)), d);
      const shrunk = decayed(x.param, lr, weightDecay, flags.decays);
      return { param: sub(shrunk, step), momentumBuffer: m, expAvgSq: v };
    },
  });
}
