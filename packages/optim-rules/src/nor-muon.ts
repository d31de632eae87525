import {
  add,
  defineUpdateRule,
  div,
  dot,
  max,
  mul,
  perRow,
  sqrt,
  sub,
  sum,
  type UpdateRule,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { oneOf } from "@mm/optim-core/schema";
import { aboveZero, atLeastZero, belowOne, firstReason } from "./check.ts";
import type { MuonHyperparameters } from "./muon.ts";
import { byOptions, momentumOf, type NewtonSchulzOptions, orthogonal } from "./newton-schulz.ts";
import { decayed, square } from "./terms.ts";

export interface NorMuonHyperparameters extends MuonHyperparameters {
  /** β₂, decay rate of the average of each output's squared direction. */
  beta2: number;
  /** Added outside the square root, and to the norm. */
  eps: number;
}

export interface NorMuonOptions extends NewtonSchulzOptions {
  /** The length of a step: ‖o‖√max(1, rows/cols), as Muon's (`"original"`, default), or 0.2√(rows·cols), as AdamW's (`"matchRmsAdamW"`: the paper). */
  readonly scale?: "original" | "matchRmsAdamW";
}

/**
 * Muon whose direction is divided, output by output, by the root of an average of its squares, so that no neuron moves more than the others (Li et
 * al., NorMuon, arXiv:2510.05491, algorithm 1), as the authors' own (zichongli5/NorMuon). For matrices alone, beside another rule for the rest.
 *
 * ```
 * m ← μm + (1 − μ)g;  o = orthogonalize((1 − μ)g + μm), of m without Nesterov's momentum
 * v ← β₂v + (1 − β₂)·mean of o² per output;  d = o/(√v + ε)
 * θ ← θ(1 − ηλ) − η·‖o‖√max(1, rows/cols)·d/(‖d‖ + ε)
 * ```
 *
 * Slots: `momentumBuffer` m; `secondMomentumBuffer` v, one number an output. Costs a pass more than Muon, which sums up squares.
 *
 * Elsewhere: the paper's algorithm is `{ nesterov: false }` with `scale: "matchRmsAdamW"`. The authors' code keeps a missing gradient for zeros, and
 * computes in bfloat16.
 *
 * @param options how to orthogonalize and to scale. They are compiled in, and belong to the program: a saved state has none of them
 * @throws OptimError `invalid-option`, `unknown-option`, `invalid-hyperparameter`
 */
export function norMuon(
  hyperparameters: Partial<Readonly<NorMuonHyperparameters>> = {},
  options: NorMuonOptions = {},
): UpdateRule<NorMuonHyperparameters> {
  return factoryFor(options)(hyperparameters);
}

const factoryFor = /* @__PURE__ */ byOptions(
  "NorMuon",
  () => ({ "scale?": oneOf("original", "matchRmsAdamW") }),
  (options: NorMuonOptions): UpdateRuleFactory<NorMuonHyperparameters> =>
    defineUpdateRule({
      name: "NorMuon",
      shapes: "matrix",
      hyperparameters: {
        lr: 0.02,
        momentum: 0.95,
        beta2: 0.95,
        eps: 1e-10,
        weightDecay: 0,
        nesterov: true,
        maximize: false,
      },
      check: ({ lr, momentum, beta2, eps, weightDecay }) =>
        firstReason(atLeastZero({ lr, weightDecay }), belowOne({ momentum, beta2 }), aboveZero({ eps })),
      structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
      slots: () => ({ momentumBuffer: 0, secondMomentumBuffer: perRow() }),
      update(x, { lr, momentum, beta2, eps, weightDecay }, flags) {
        const { rows, cols } = x;
        const { m, u } = momentumOf(x, momentum, flags);
        const o = orthogonal(u, options);
        const squares = dot(o, o, "row");
        // A tensor without elements has means of 0, not of 0 ÷ 0.
        const mean = div(squares, max(cols, 1));
        const v = add(mul(beta2, x.secondMomentumBuffer), mul(sub(1, beta2), mean));
        const root = add(sqrt(v), eps);
        // ‖d‖ from what each output has: no pass over the elements.
        const length = add(sqrt(sum(square(div(sqrt(squares), root)))), eps);
        const wanted =
          options.scale === "matchRmsAdamW"
            ? mul(0.2, sqrt(x.size))
            : mul(sqrt(sum(squares)), sqrt(max(1, div(rows, cols))));
        const step = mul(div(mul(lr, wanted), length), div(o, root));
        return {
          param: sub(decayed(x.param, lr, weightDecay, flags.decays), step),
          momentumBuffer: m,
          secondMomentumBuffer: v,
        };
      },
    }),
);
