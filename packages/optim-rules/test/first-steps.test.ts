import type { BaseHyperparameters } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import {
  adabelief,
  adamwEpsilonHat,
  ademamix,
  adopt,
  laprop,
  mars,
  marsLion,
  nadamw,
  sgdw,
  stableAdamw,
  yogi,
  adadelta,
  adagrad,
  adam,
  adamax,
  adamw,
  adan,
  asgd,
  lamb,
  lars,
  lion,
  nadam,
  novograd,
  radam,
  rmsprop,
  rprop,
  scheduleFreeAdamw,
  scheduleFreeRadam,
  scheduleFreeSgd,
  sgd,
  signum,
  type LambHyperparameters,
} from "@mm/optim-rules";
import { expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";

/** The parameter, 1 at first, after steps with these gradients. */
function after<H extends BaseHyperparameters>(rule: UpdateRule<H>, ...gradients: readonly number[]): number {
  const w = Float32Array.of(1);
  const optimizer = arrayOptimizer(rule, { w });
  for (const gradient of gradients) stepWith(optimizer, { w: [gradient] });
  return w[0] as number;
}

// One element, θ = 1. Seven decimals: float32 near 1 has steps of 6e-8 or 1.2e-7.
const decimals = 6;

test("SGD", () => {
  // 1 − 0.1·0.5
  expect(after(sgd({ lr: 0.1 }), 0.5)).toBeCloseTo(0.95, decimals);
  // g = 0.5 + 0.2·1 = 0.7;  1 − 0.1·0.7
  expect(after(sgd({ lr: 0.1, weightDecay: 0.2 }), 0.5)).toBeCloseTo(0.93, decimals);
  // g = −0.5 + 0.2·1 = −0.3, as PyTorch: the decay pulls towards 0 whichever way the objective goes
  expect(after(sgd({ lr: 0.1, weightDecay: 0.2, maximize: true }), 0.5)).toBeCloseTo(1.03, decimals);
});

test("SGD with momentum", () => {
  // b = 0.5, then 0.9·0.5 + 1 = 1.45;  1 − 0.1·(0.5 + 1.45)
  expect(after(sgd({ lr: 0.1, momentum: 0.9 }), 0.5, 1)).toBeCloseTo(0.805, decimals);
  // b = 0.5 whole, then 0.9·0.5 + (1 − 0.4)·1 = 1.05;  1 − 0.1·(0.5 + 1.05)
  expect(after(sgd({ lr: 0.1, momentum: 0.9, dampening: 0.4 }), 0.5, 1)).toBeCloseTo(0.845, decimals);
  // g + 0.9b: 0.5 + 0.45 = 0.95, then 1 + 0.9·1.45 = 2.305;  1 − 0.1·(0.95 + 2.305)
  expect(after(sgd({ lr: 0.1, momentum: 0.9, nesterov: true }), 0.5, 1)).toBeCloseTo(0.6745, decimals);
});

test("Adam", () => {
  // m = 0.1·0.5, v = 0.001·0.25; corrected 0.5 and 0.25, whose root is 0.5;  1 − 0.1·0.5/0.5
  expect(after(adam({ lr: 0.1 }), 0.5)).toBeCloseTo(0.9, decimals);
  // ε outside the root:  1 − 0.1·0.5/(0.5 + 0.5)
  expect(after(adam({ lr: 0.1, eps: 0.5 }), 0.5)).toBeCloseTo(0.95, decimals);
  // β = (0.5, 0.5): m = 0.5 → 0.25, v = 0.5 → 0.25; t = 2: m̂ = 0.25/0.75, v̂ = 0.25/0.75.
  // First step 0.1; second 0.1·0.333333/0.577350 = 0.057735
  expect(after(adam({ lr: 0.1, betas: [0.5, 0.5] }), 1, 0)).toBeCloseTo(0.842265, decimals);
  // AMSGrad keeps v = 0.5 in the second step, corrected by 0.75 as well: 0.1·0.333333/0.816497 = 0.040825
  expect(after(adam({ lr: 0.1, betas: [0.5, 0.5], amsgrad: true }), 1, 0)).toBeCloseTo(0.859175, decimals);
});

test("AdamW", () => {
  // 1·(1 − 0.1·0.2) − 0.1
  expect(after(adamw({ lr: 0.1, weightDecay: 0.2 }), 0.5)).toBeCloseTo(0.88, decimals);
});

test("NAdam", () => {
  // ψ = 0: μ = 0.9·(1 − 0.5) = 0.45 always. M = 0.45.  d = √v̂ = 0.5, m = 0.05.
  // 0.1·(0.55/0.55·0.5 + 0.45/(1 − 0.2025)·0.05)/0.5 = 0.1·(0.5 + 0.0282132)/0.5 = 0.1056426
  expect(after(nadam({ lr: 0.1, momentumDecay: 0 }), 0.5)).toBeCloseTo(0.8943574, decimals);
});

test("RAdam", () => {
  // ρ₁ = 1999 − 2·0.999/0.001 = 1 ≤ 5: a step with momentum, 1 − 0.1·0.5
  expect(after(radam({ lr: 0.1 }), 0.5)).toBeCloseTo(0.95, decimals);
});

test("Adamax", () => {
  // u = max(0, 0.5 + 0.5) = 1, m̂ = 0.5:  1 − 0.1·0.5/1. Were ε added to u in the division, |g| = 0.25 would tell:
  expect(after(adamax({ lr: 0.1, eps: 0.5 }), 0.5)).toBeCloseTo(0.95, decimals);
  // u = 1 + 0.5, then max(0.5·1.5, 0 + 0.5) = 0.75 (with ε in the division: 0.5 + 0.5 = 1).
  // β₁ = 0: the second gradient is 0, and so is its step;  1 − 0.1·1/1.5
  expect(after(adamax({ lr: 0.1, eps: 0.5, betas: [0, 0.5] }), 1, 0)).toBeCloseTo(0.9333333, decimals);
});

test("Adagrad", () => {
  // s = 0.75 + 0.25 = 1:  1 − 0.1·0.5/1
  expect(after(adagrad({ lr: 0.1, initialAccumulatorValue: 0.75 }), 0.5)).toBeCloseTo(0.95, decimals);
  // s = 9, rate 0.1; then s = 25, rate 0.1/(1 + 1·1):  1 − 0.1·3/3 − 0.05·4/5
  expect(after(adagrad({ lr: 0.1, lrDecay: 1 }), 3, 4)).toBeCloseTo(0.86, decimals);
});

test("Adadelta", () => {
  // v = 0.1·0.25 = 0.025; d = √0.01/√(0.025 + 0.01)·0.5 = 0.1/0.1870829·0.5 = 0.2672612
  expect(after(adadelta({ eps: 0.01 }), 0.5)).toBeCloseTo(0.7327388, decimals);
});

test("RMSprop", () => {
  // v = 0.01·0.25, √v = 0.05:  1 − 0.01·0.5/0.05
  expect(after(rmsprop({ lr: 0.01, eps: 0 }), 0.5)).toBeCloseTo(0.9, decimals);
  // a = 0.01·0.5 = 0.005; √(0.0025 − 0.000025) = 0.0497494;  1 − 0.01·0.5/0.0497494
  expect(after(rmsprop({ lr: 0.01, eps: 0, centered: true }), 0.5)).toBeCloseTo(0.8994962, decimals);
  // α = 0: g/d = 1 at every step; b = 1, then 0.5 + 1;  1 − 0.01·(1 + 1.5)
  expect(after(rmsprop({ lr: 0.01, eps: 0, alpha: 0, momentum: 0.5 }), 0.5, 2)).toBeCloseTo(0.975, decimals);
});

test("Rprop", () => {
  // Sizes 0.1, 0.1·1.2; then the sign turns: 0.06, and no step; then prev is 0: 0.06 again
  expect(after(rprop({ lr: 0.1 }), 3, 0.01)).toBeCloseTo(0.78, decimals);
  expect(after(rprop({ lr: 0.1 }), 3, 0.01, -5)).toBeCloseTo(0.78, decimals);
  expect(after(rprop({ lr: 0.1 }), 3, 0.01, -5, -5)).toBeCloseTo(0.84, decimals);
});

test("ASGD", () => {
  // 1·(1 − 0.5·0.1) − 0.1·0.5
  expect(after(asgd({ lr: 0.1, lambd: 0.5 }), 0.5)).toBeCloseTo(0.9, decimals);
});

test("Lion", () => {
  // 1·(1 − 0.1·0.2) − 0.1·sign(0.05)
  expect(after(lion({ lr: 0.1, weightDecay: 0.2 }), 0.5)).toBeCloseTo(0.88, decimals);
  // m = 0.01·5 = 0.05; 0.9·0.05 − 0.1·0.4 = 0.005 > 0: down again, against the present gradient
  expect(after(lion({ lr: 0.1 }), 5, -0.4)).toBeCloseTo(0.8, decimals);
});

test("Signum", () => {
  // m = 0.1·5 = 0.5; 0.45 − 0.04 > 0: down twice. signSGD turns.
  expect(after(signum({ lr: 0.1 }), 5, -0.4)).toBeCloseTo(0.8, decimals);
  expect(after(signum({ lr: 0.1, momentum: 0 }), 5, -0.4)).toBeCloseTo(1, decimals);
});

test("AdaBelief", () => {
  // m = 0.05, s = 0.001·(0.5 − 0.05)² = 0.001·0.2025; m̂ = 0.5, √ŝ = 0.45:  1 − 0.1·0.5/0.45
  expect(after(adabelief({ lr: 0.1 }), 0.5)).toBeCloseTo(0.8888889, decimals);
});

test("Adan", () => {
  // d = 0 at first: m̂ = 0.5, √n̂ = 0.5:  (1 − 0.1)/(1 + 0.1·0.2)
  expect(after(adan({ lr: 0.1, weightDecay: 0.2 }), 0.5)).toBeCloseTo(0.8823529, decimals);
  // (1 − 0.02) − 0.1
  expect(after(adan({ lr: 0.1, weightDecay: 0.2, noProx: true }), 0.5)).toBeCloseTo(0.88, decimals);
});

test("LAMB", () => {
  // m̂/√v̂ = 1 (ε is 1e-6 of 0.5), r = 1 + 0.5·1; ‖θ‖/‖r‖·r = 1/1.5·1.5:  1 − 0.1·1
  expect(after(lamb({ lr: 0.1, weightDecay: 0.5, eps: 0 }), 0.5)).toBeCloseTo(0.9, decimals);
});

test("LARS", () => {
  // l = 0.1·1/(0.5 + 0.5·1) = 0.1, d = 1·0.1·(0.5 + 0.5) = 0.1; b = 0.1, then, from θ = 0.9 and g = 0.55:
  // l = 0.1·0.9/(0.55 + 0.45) = 0.09, d = 0.09, b = 0.5·0.1 + 0.09 = 0.14
  expect(after(lars({ weightDecay: 0.5, trustCoefficient: 0.1, momentum: 0.5 }), 0.5, 0.55)).toBeCloseTo(
    0.76,
    decimals,
  );
});

test("NovoGrad", () => {
  // v = 0.25: g/√v = 1, m = 1 + 0.5·1;  1 − 0.1·1.5
  expect(after(novograd({ lr: 0.1, eps: 0, weightDecay: 0.5 }), 0.5)).toBeCloseTo(0.85, decimals);
  // β₂ = 0.75: v = 0.25, then 0.75·0.25 + 0.25·1 = 0.4375; m = 1, then 0.5·1 + 1/0.6614378 = 2.0118579
  expect(after(novograd({ lr: 0.1, eps: 0, betas: [0.5, 0.75] }), 0.5, 1)).toBeCloseTo(0.6988142, decimals);
});

test("LAMB's and LARS's trust options", () => {
  // λ = 0, so plain Adam: m̂/√v̂ = 1;  2 − 0.1·1. With the ratio: ‖θ‖/‖r‖ = 2:  2 − 0.1·2; at most 1: as without
  const lambAt2 = (options: Partial<LambHyperparameters>): number => {
    const w = Float32Array.of(2);
    stepWith(arrayOptimizer(lamb({ lr: 0.1, weightDecay: 0, eps: 0, ...options }), { w }), { w: [0.5] });
    return w[0] as number;
  };
  expect(lambAt2({ alwaysAdapt: false })).toBeCloseTo(1.9, decimals);
  expect(lambAt2({})).toBeCloseTo(1.8, decimals);
  expect(lambAt2({ trustClip: true })).toBeCloseTo(1.9, decimals);
  // No averaging: m = 0.5. No correction: √v = √0.001·0.5 = 0.0158114:  2 − 0.01·0.5/0.0158114 = 2 − 0.3162278
  expect(lambAt2({ lr: 0.01, alwaysAdapt: false, gradAveraging: false, biasCorrected: false })).toBeCloseTo(
    1.6837722,
    decimals,
  );
  // 2·(1 − 0.1·0.5) = 1.9, whose norm counts: 1.9 − 0.1·1.9
  expect(lambAt2({ weightDecay: 0.5, decoupledWeightDecay: true })).toBeCloseTo(1.71, decimals);
  // LARS, λ = 0: plain SGD, 1 − 0.1·0.5. With l = 2·1/0.5 = 4, so 4·0.1·0.5 = 0.2; min(4/0.1, 1) = 1: as plain SGD
  expect(after(lars({ lr: 0.1, weightDecay: 0, alwaysAdapt: false }), 0.5)).toBeCloseTo(0.95, decimals);
  expect(after(lars({ lr: 0.1, weightDecay: 0, trustCoefficient: 2 }), 0.5)).toBeCloseTo(0.8, decimals);
  expect(after(lars({ lr: 0.1, weightDecay: 0, trustCoefficient: 2, trustClip: true }), 0.5)).toBeCloseTo(
    0.95,
    decimals,
  );
});

test("LARS: where the learning rate changes, it matters on which side of the momentum it stands", () => {
  // Plain SGD with μ = 0.5. Inside: b = 0.1·1, then 0.5·0.1 + 0.2·1 = 0.25;  1 − 0.1 − 0.25. Outside: b = 1, 1.5;  1 − 0.1 − 0.2·1.5
  for (const [lrInMomentum, expected] of [
    [true, 0.65],
    [false, 0.6],
  ] as const) {
    const w = Float32Array.of(1);
    const rule = lars({ lr: 0.1, weightDecay: 0, alwaysAdapt: false, momentum: 0.5, lrInMomentum });
    const optimizer = arrayOptimizer(rule, { w });
    stepWith(optimizer, { w: [1] });
    optimizer.paramGroups[0].lr = 0.2;
    stepWith(optimizer, { w: [1] });
    expect(w[0]).toBeCloseTo(expected, decimals);
  }
});

test("AdaBelief's options", () => {
  // g = 0.5 + 0.5·1 = 1: m = 0.1, s = 0.001·0.81; m̂/√ŝ = 1/0.9:  1 − 0.1/0.9
  expect(after(adabelief({ lr: 0.1, weightDecay: 0.5, decoupledWeightDecay: false }), 0.5)).toBeCloseTo(
    0.8888889,
    decimals,
  );
  // ρ = 1 at the first step: 1 − 0.1·0.5
  expect(after(adabelief({ lr: 0.1, rectify: true }), 0.5)).toBeCloseTo(0.95, decimals);
});

test("NovoGrad with amsgrad", () => {
  // β = (0, 0): v = 1, then 0.25, of which the largest is 1:  1 − 0.1·1 − 0.1·0.5
  expect(after(novograd({ lr: 0.1, eps: 0, betas: [0, 0], amsgrad: true }), 1, 0.5)).toBeCloseTo(
    0.85,
    decimals,
  );
});

test("NAdamW", () => {
  // m = 0.05, m̃ = 0.9·0.05 + 0.1·0.5 = 0.095; 0.095/0.1 = 0.95 over √v̂ = 0.5:  1·(1 − 0.02) − 0.1·1.9
  expect(after(nadamw({ lr: 0.1, weightDecay: 0.2, eps: 0 }), 0.5)).toBeCloseTo(0.79, decimals);
});

test("AdamW with ε̂", () => {
  // √v = √0.001·0.5 = 0.0158114, and ε̂ as large: half of the step;  1 − 0.1·√0.001/0.1·0.05/0.0316228 = 1 − 0.05
  expect(after(adamwEpsilonHat({ lr: 0.1, eps: Math.sqrt(0.001) / 2 }), 0.5)).toBeCloseTo(0.95, decimals);
  // Not corrected: 0.1·0.05/0.0316228 = 0.1581139
  expect(
    after(adamwEpsilonHat({ lr: 0.1, eps: Math.sqrt(0.001) / 2, biasCorrected: false }), 0.5),
  ).toBeCloseTo(0.8418861, decimals);
});

test("SGDW", () => {
  // 1·(1 − 0.1·0.2) − 0.1·0.5 = 0.93; b = 0.5, then 0.9·0.5 + 1 = 1.45:  0.93·0.98 − 0.145
  expect(after(sgdw({ lr: 0.1, momentum: 0.9, weightDecay: 0.2 }), 0.5, 1)).toBeCloseTo(0.7664, decimals);
});

test("Yogi", () => {
  // v = 0.25 < g² = 1: 0.25 + 0.5·1 = 0.75; m = 0.5·0.25 + 0.5·1 = 0.625.  m̂ = 1.25, √v̂ = √1.5 = 1.2247449:  1 − 0.1·1.0206207
  expect(after(yogi({ lr: 0.1, eps: 0, betas: [0.5, 0.5], initialAccumulatorValue: 0.25 }), 1)).toBeCloseTo(
    0.8979379,
    decimals,
  );
});

test("LaProp", () => {
  // v/l₂ = 0.25: g/0.5 = 1; m = 0.1·0.1·1, l₁ = 0.1·0.1: a step of 0.1;  (1 − 0.1)·(1 − 0.1·0.2)
  expect(after(laprop({ lr: 0.1, weightDecay: 0.2 }), 0.5)).toBeCloseTo(0.882, decimals);
});

test("ADOPT", () => {
  // v = 0.25, and no step, nor decay
  const options = { lr: 0.1, eps: 0, weightDecay: 0.5, decoupledWeightDecay: true };
  expect(after(adopt(options), 0.5)).toBe(1);
  // 2/0.5 = 4, clipped to 1⁰·²⁵ = 1; m = 0.1·1:  1·(1 − 0.05) − 0.1·0.1
  expect(after(adopt(options), 0.5, 2)).toBeCloseTo(0.94, decimals);
  // not clipped: m = 0.4
  expect(after(adopt({ ...options, clips: false }), 0.5, 2)).toBeCloseTo(0.91, decimals);
});

test("AdEMAMix", () => {
  // m̂₁ = 0.5, m₂ = 0.5·0.5 = 0.25, α = 2: (0.5 + 0.5)/0.5 = 2;  1 − 0.1·2
  expect(after(ademamix({ lr: 0.1, eps: 0, betas: [0.9, 0.999, 0.5] }), 0.5)).toBeCloseTo(0.8, decimals);
  // α = 2·1/4: (0.5 + 0.125)/0.5 = 1.25
  expect(after(ademamix({ lr: 0.1, eps: 0, betas: [0.9, 0.999, 0.5], alphaWarmup: 4 }), 0.5)).toBeCloseTo(
    0.875,
    decimals,
  );
});

test("StableAdamW", () => {
  // First step: m = 0.5, v = 0.25, r = 1;  1·(1 − 0.1·0.2) − 0.1·0.5/0.5 = 0.88
  const options = { lr: 0.1, eps: 0, weightDecay: 0.2 };
  expect(after(stableAdamw(options), 0.5)).toBeCloseTo(0.88, decimals);
  // β̂₂ at t = 2 of β₂ = 0.5: (0.25 − 0.5)/(0.25 − 1) = 1/3. v = 0.25/3 + 4·2/3 = 2.75; r = 2/√2.75 = 1.2060454.
  // β̂₁ = 0 with β₁ = 0: m = 2; η′ = 0.1/1.2060454 = 0.0829156: 0.88·(1 − 0.0165831) − 0.0829156·1.2060454 = 0.8654069 − 0.1
  expect(after(stableAdamw({ ...options, betas: [0, 0.5] }), 0.5, 2)).toBeCloseTo(0.7654069, decimals);
});

test("MARS", () => {
  // γβ₁/(1 − β₁) = 0.5·0.5/0.5 = 0.5: c = 0.5 + 0.25 = 0.75; m̂/√v̂ = 1:  1 − 0.1
  const options = { lr: 0.1, eps: 0, betas: [0.5, 0.5], gamma: 0.5 } as const;
  expect(after(mars(options), 0.5)).toBeCloseTo(0.9, decimals);
  // Then c = 2 + 0.5·1.5 = 2.75, clipped to 1: m = 0.375·0.5 + 0.5 = 0.6875, m̂ = 0.6875/0.75 = 0.9166667.
  // v = 0.28125·0.5 + 0.5 = 0.640625, √v̂ = √0.8541667 = 0.9242114:  0.9 − 0.1·0.9918366
  expect(after(mars(options), 0.5, 2)).toBeCloseTo(0.8008163, decimals);
  expect(after(marsLion({ lr: 0.1, weightDecay: 0.2 }), 0.5)).toBeCloseTo(0.88, decimals);
});

test("schedule-free", () => {
  // z = 1 − 0.1·0.5 = 0.95. c = 1: y ← z at first, and 0.1·(0.5·0 − 1)·0.5 on from there.
  const options = { lr: 0.1, momentum: 0.5 } as const;
  expect(after(scheduleFreeSgd(options), 0.5)).toBeCloseTo(0.95, decimals);
  // c = 1/2: y = 0.5·0.95 + 0.5·0.95 + 0.1·(0.5·0.5 − 1)·2 = 0.95 − 0.15
  expect(after(scheduleFreeSgd(options), 0.5, 2)).toBeCloseTo(0.8, decimals);
  // Half of the rate at first. Then c = 0.01/(0.0025 + 0.01) = 0.8, and z = y = 0.975:  0.975 + 0.1·(0.5·0.2 − 1)·2
  expect(after(scheduleFreeSgd({ ...options, warmupSteps: 2 }), 0.5, 2)).toBeCloseTo(0.795, decimals);
  // g/√v̂ = 1, and the decay 0.2·1: z = y = 1 − 0.1·1.2
  const adamw = { lr: 0.1, betas: [0.5, 0.9], eps: 0, weightDecay: 0.2 } as const;
  expect(after(scheduleFreeAdamw(adamw), 0.5)).toBeCloseTo(0.88, decimals);
  // ρ is below 4 in the first steps: silence, or those of SGD.
  expect(after(scheduleFreeRadam({ lr: 0.1 }), 0.5, 2)).toBe(1);
  expect(after(scheduleFreeRadam({ lr: 0.1, silentSgdPhase: false }), 0.5)).toBeCloseTo(0.95, decimals);
});
