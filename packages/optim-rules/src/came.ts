import {
  add,
  defineUpdateRule,
  div,
  max,
  mul,
  norm,
  perColumn,
  perRow,
  type Row,
  type Column,
  type Scalar,
  sqrt,
  sub,
  sum,
  type Tensor,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { aboveZero, atLeastZero, belowOne, firstReason } from "./check.ts";
import { average, decayed, descent, square } from "./terms.ts";

export interface CameHyperparameters {
  lr: number;
  /** β₁ of the update, β₂ of squared gradients, β₃ of how far an update is from its average. */
  betas: readonly [beta1: number, beta2: number, beta3: number];
  /** ε₁ inside the averages of squared gradients, ε₂ inside those of the distances. */
  eps: readonly [eps1: number, eps2: number];
  /** The largest root mean square of an update. */
  clipThreshold: number;
  /** λ of the decoupled decay: a step shrinks the parameter by the factor 1 − ηλ. */
  weightDecay: number;
  maximize: boolean;
}

/**
 * Adafactor with a momentum that is trusted as far as it holds (Luo et al., CAME, arXiv:2307.02047), as the authors' own.
 *
 * ```
 * R ← β₂R + (1 − β₂)mean(g² + ε₁) per row,  C likewise per column
 * u = g·√(mean(R)/R)·√(1/C), divided by max(1, rms(u)/clip)
 * m ← β₁m + (1 − β₁)u
 * R′, C′ ← β₃-averages of the means of (u − m)² + ε₂ per row, per column
 * θ ← θ(1 − ηλ) − η·m·√(mean(R′)/R′)·√(1/C′)
 * ```
 *
 * Of a tensor of less than two dimensions u is g/√v, v ← β₂v + (1 − β₂)(g² + ε₁), and the step ηm. Slots: `expAvg` m, `expAvgSqRow` R, `expAvgSqCol` C,
 * `expAvgResRow` R′ and `expAvgResCol` C′; of a vector `expAvg` and `expAvgSq` v.
 */
export const came: UpdateRuleFactory<CameHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "CAME",
  shapes: "either",
  hyperparameters: {
    lr: 2e-4,
    betas: [0.9, 0.999, 0.9999],
    eps: [1e-30, 1e-16],
    clipThreshold: 1,
    weightDecay: 0,
    maximize: false,
  },
  check: ({ lr, betas, eps, clipThreshold, weightDecay }) =>
    firstReason(atLeastZero({ lr, eps, weightDecay }), belowOne({ betas }), aboveZero({ clipThreshold })),
  structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
  slots: ({ matrix }) => ({
    expAvg: 0,
    ...(matrix === true
      ? { expAvgSqRow: perRow(), expAvgSqCol: perColumn(), expAvgResRow: perRow(), expAvgResCol: perColumn() }
      : { expAvgSq: 0 }),
  }),
  update(x, h, { decays, matrix, maximize }) {
    const { param, size } = x;
    // A tensor without elements has means of 0, not of 0 ÷ 0.
    const [rows, cols] = [max(x.rows, 1), max(x.cols, 1)];
    const { lr, eps, clipThreshold, weightDecay } = h;
    const [beta1, beta2, beta3] = h.betas;
    const g = descent(x.grad, maximize);
    const lerp = <V extends Row | Column>(beta: Scalar, mean: V, of: V): V =>
      add(mul(beta, mean), mul(sub(1, beta), of)) as unknown as V;
    const clip = (u: Tensor): Tensor => div(u, max(1, div(div(norm(u), sqrt(size)), clipThreshold)));
    const shrunk = decayed(param, lr, weightDecay, decays);
    /** of · √(mean(R)/R) · √(1/C) */
    const whitened = (of: Tensor, row: Row, column: Column): Tensor =>
      mul(of, mul(sqrt(div(div(sum(row), rows), row)), sqrt(div(1, column))));
    if (matrix !== true) {
      const expAvgSq = average(beta2, x.expAvgSq, add(square(g), eps[0]));
      const expAvg = average(beta1, x.expAvg, clip(div(g, sqrt(expAvgSq))));
      return { param: sub(shrunk, mul(lr, expAvg)), expAvg, expAvgSq };
    }
    const squares = add(square(g), eps[0]);
    const expAvgSqRow = lerp(beta2, x.expAvgSqRow, div(sum(squares, "row"), cols));
    const expAvgSqCol = lerp(beta2, x.expAvgSqCol, div(sum(squares, "column"), rows));
    const u = clip(whitened(g, expAvgSqRow, expAvgSqCol));
    const expAvg = average(beta1, x.expAvg, u);
    const distances = add(square(sub(u, expAvg)), eps[1]);
    const expAvgResRow = lerp(beta3, x.expAvgResRow, div(sum(distances, "row"), cols));
    const expAvgResCol = lerp(beta3, x.expAvgResCol, div(sum(distances, "column"), rows));
    return {
      param: sub(shrunk, mul(lr, whitened(expAvg, expAvgResRow, expAvgResCol))),
      expAvg,
      expAvgSqRow,
      expAvgSqCol,
      expAvgResRow,
      expAvgResCol,
    };
  },
});
