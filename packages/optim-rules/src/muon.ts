import {
  defineUpdateRule,
  div,
  gt,
  max,
  mul,
  type Scalar,
  select,
  sign,
  sqrt,
  sub,
  type UpdateRule,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { aBoolean, isFinite32 } from "@mm/optim-core/schema";
import { atLeastZero, belowOne, firstReason } from "./check.ts";
import { byOptions, momentumOf, type NewtonSchulzOptions, orthogonal } from "./newton-schulz.ts";
import { decayed } from "./terms.ts";

export interface MuonHyperparameters {
  lr: number;
  /** μ, from 0 to below 1. */
  momentum: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ, η without k. */
  weightDecay: number;
  nesterov: boolean;
  maximize: boolean;
}

export interface MuonOptions extends NewtonSchulzOptions {
  /**
   * The factor k of the rate, for a matrix of r outputs by c: √max(1, r/c) (`"original"`), 0.2·√max(r, c) (`"matchRmsAdamW"`: steps as large as
   * AdamW's, Liu et al., arXiv:2502.16982), √(r/c) (`"rmsToRms"`), or a number. Default `"original"`.
   */
  readonly scale?: "original" | "matchRmsAdamW" | "rmsToRms" | number;
  /**
   * Leave out of u the elements whose sign is not that of the gradient (Liang et al., "Cautious Optimizers", arXiv:2411.16085, C-Muon). Its factor of
   * the others is left out: orthogonalizing takes it away. Default `false`.
   */
  readonly cautious?: boolean;
}

/**
 * Momentum, orthogonalized, for the hidden matrices of a network (Jordan et al., Muon, https://kellerjordan.github.io/posts/muon), as
 * Keller Jordan's own and, with options, as `torch.optim.Muon` and timm's. Embeddings, heads, gains and biases go to another rule in a group of
 * their own.
 *
 * ```
 * m ← μm + (1 − μ)g
 * u = (1 − μ)g + μm with Nesterov's momentum, else m
 * θ ← θ(1 − ηλ) − ηk·orthogonalize(u)
 * ```
 *
 * A parameter is taken as a matrix, its outputs by all else: a convolution's kernel as its outputs by the rest. One of less than two dimensions
 * is refused. Slots: `momentumBuffer` m.
 *
 * Elsewhere: `torch.optim.Muon` has lr 1e-3, weight decay 0.1 and `divisor: "max"`; timm has `coefficients: "quintic"`, `scale: "matchRmsAdamW"`,
 * `divisor: "max"` and no Nesterov. Keller Jordan's takes a missing gradient for zeros and computes in bfloat16; its k of a convolution comes from
 * the sides of the kernel.
 *
 * @param options how to orthogonalize and to scale. They are compiled in, and belong to the program: a saved state has none of them
 * @throws OptimError `invalid-option`, `unknown-option`, `invalid-hyperparameter`
 *
 * @example
 * ```ts
 * wasmOptimizer(adamw({ lr: 3e-4 }), [
 *   { params: { w1, w2 }, shapes: { w1: [128, 784], w2: [64, 128] }, rule: muon({ lr: 0.02 }) },
 *   { params: { b1, b2 } },
 * ]);
 * ```
 */
export function muon(
  hyperparameters: Partial<Readonly<MuonHyperparameters>> = {},
  options: MuonOptions = {},
): UpdateRule<MuonHyperparameters> {
  return factoryFor(options)(hyperparameters);
}

const factoryFor = /* @__PURE__ */ byOptions(
  "Muon",
  () => ({
    "scale?": [
      (value: unknown) =>
        value === "original" || value === "matchRmsAdamW" || value === "rmsToRms" || isFinite32(value),
      '"original", "matchRmsAdamW", "rmsToRms" or a finite number',
    ],
    "cautious?": aBoolean,
  }),
  define,
);

/** k of a matrix. */
function scaleOf(rows: Scalar, cols: Scalar, scale: MuonOptions["scale"] = "original"): Scalar | number {
  if (typeof scale === "number") return scale;
  if (scale === "matchRmsAdamW") return mul(0.2, sqrt(max(rows, cols)));
  return sqrt(scale === "original" ? max(1, div(rows, cols)) : div(rows, cols));
}

function define(options: MuonOptions): UpdateRuleFactory<MuonHyperparameters> {
  return defineUpdateRule({
    name: "Muon",
    shapes: "matrix",
    hyperparameters: { lr: 0.02, momentum: 0.95, weightDecay: 0, nesterov: true, maximize: false },
    check: ({ lr, momentum, weightDecay }) =>
      firstReason(atLeastZero({ lr, weightDecay }), belowOne({ momentum })),
    structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
    slots: () => ({ momentumBuffer: 0 }),
    update(x, { lr, momentum, weightDecay }, flags) {
      const { g, m, u } = momentumOf(x, momentum, flags);
      const kept = options.cautious === true ? select(gt(mul(sign(m), sign(g)), 0), u, 0) : u;
      const rate = mul(lr, scaleOf(x.rows, x.cols, options.scale));
      const shrunk = decayed(x.param, lr, weightDecay, flags.decays);
      return { param: sub(shrunk, mul(rate, orthogonal(kept, options))), momentumBuffer: m };
    },
  });
}
