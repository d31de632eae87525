import type { BaseHyperparameters } from "@mm/optim-core";
import { add, defineUpdateRule, eq, mul, select, shared, sub, type UpdateRule } from "@mm/optim-core/rule";
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
  cautious,
  ema,
  lamb,
  lars,
  lion,
  lookahead,
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
  swa,
} from "@mm/optim-rules";
import { expectEqual } from "./assert.ts";
import type { Gradients, Kit, KitTest, Subject } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

/** Every rule, and every structure in which it computes something else. */
export const kitRules: readonly (readonly [name: string, rule: UpdateRule])[] = [
  ["SGD", sgd({ lr: 0.1 })],
  ["SGD, momentum and dampening", sgd({ lr: 0.1, momentum: 0.9, dampening: 0.3 })],
  ["SGD, Nesterov and weight decay", sgd({ lr: 0.1, momentum: 0.8, nesterov: true, weightDecay: 0.1 })],
  ["SGD, maximize", sgd({ lr: 0.1, momentum: 0.8, maximize: true })],
  ["Adam", adam({ lr: 0.1 })],
  ["Adam, amsgrad and weight decay", adam({ lr: 0.1, amsgrad: true, weightDecay: 0.1 })],
  ["AdamW", adamw({ lr: 0.1, betas: [0.8, 0.95] })],
  ["NAdam", nadam({ lr: 0.1 })],
  ["RAdam, from plain to rectified", radam({ lr: 0.1, betas: [0.9, 0.9] })],
  ["Adamax", adamax({ lr: 0.1 })],
  ["Adagrad", adagrad({ lr: 0.1, lrDecay: 0.1, initialAccumulatorValue: 0.2 })],
  ["Adadelta", adadelta({ lr: 1 })],
  ["RMSprop", rmsprop({ lr: 0.05 })],
  ["RMSprop, centered with momentum", rmsprop({ lr: 0.01, centered: true, momentum: 0.9, eps: 1e-3 })],
  ["Rprop", rprop({ lr: 0.05 })],
  ["ASGD, averaging", asgd({ lr: 0.1, t0: 3, lambd: 0.01 })],
  ["Lion", lion({ lr: 0.01, weightDecay: 0.1 })],
  ["Signum", signum({ lr: 0.01 })],
  ["AdaBelief", adabelief({ lr: 0.1, eps: 1e-6 })],
  ["Adan", adan({ lr: 0.05 })],
  ["LAMB", lamb({ lr: 0.1 })],
  ["LARS", lars({ lr: 1 })],
  ["NovoGrad", novograd({ lr: 0.1 })],
  ["AdaBelief, from plain to rectified", adabelief({ lr: 0.1, eps: 1e-6, betas: [0.9, 0.9], rectify: true })],
  [
    "LAMB, trust ratio at most 1, shrinking before the step",
    lamb({ lr: 0.1, trustClip: true, decoupledWeightDecay: true }),
  ],
  [
    "LARS, learning rate after the momentum",
    lars({ lr: 0.1, trustCoefficient: 0.1, trustClip: true, lrInMomentum: false }),
  ],
  ["NovoGrad, amsgrad", novograd({ lr: 0.1, betas: [0.9, 0.5], amsgrad: true })],
  ["NAdamW", nadamw({ lr: 0.1 })],
  ["AdamW with ε̂", adamwEpsilonHat({ lr: 0.1, eps: 0.01 })],
  ["SGDW, momentum and dampening", sgdw({ lr: 0.1, momentum: 0.9, dampening: 0.3, weightDecay: 0.1 })],
  ["Yogi", yogi({ lr: 0.1 })],
  ["LaProp", laprop({ lr: 0.1, eps: 1e-3, weightDecay: 0.1 })],
  ["ADOPT", adopt({ lr: 0.1, eps: 1e-3, weightDecay: 0.1 })],
  ["AdEMAMix, warming up", ademamix({ lr: 0.05, alphaWarmup: 8, beta3Warmup: 6 })],
  ["StableAdamW", stableAdamw({ lr: 0.1, eps: 1e-3 })],
  ["MARS", mars({ lr: 0.1, eps: 1e-3, weightDecay: 0.1 })],
  ["MARS-Lion", marsLion({ lr: 0.01, correctsFirst: false })],
  ["cautious AdamW", cautious(adamw({ lr: 0.1 }))],
  ["cautious NAdamW, with a floor", cautious(nadamw({ lr: 0.1 }), { floor: 1e-3, uphill: 0.1 })],
  ["EMA of Adam", ema(adam({ lr: 0.1 }), { emaDecay: 0.8 })],
  [
    "EMA of SGD, later, at times, warming up",
    ema(sgd({ lr: 0.1 }), { emaBegin: 2, emaEvery: 2, emaWarmup: 1 }),
  ],
  ["SWA of Adam, every second step", swa(adam({ lr: 0.1 }), { swaBegin: 1, swaEvery: 2 })],
  ["schedule-free SGD, warming up", scheduleFreeSgd({ lr: 0.2, warmupSteps: 4, weightDecay: 0.1 })],
  ["schedule-free AdamW", scheduleFreeAdamw({ lr: 0.05, weightDecay: 0.1 })],
  [
    "schedule-free AdamW, inner momentum and weights",
    scheduleFreeAdamw({ lr: 0.05, innerMomentum: 0.8, r: 1.5, weightLrPower: 1 }),
  ],
  ["schedule-free RAdam", scheduleFreeRadam({ lr: 0.05, betas: [0.8, 0.95] })],
  ["Lookahead of SGD", lookahead(sgd({ lr: 0.1, momentum: 0.9 }), { syncPeriod: 3 })],
];

const lengths = { w: 6, b: 3, s: 1 };

export const ruleTests: readonly KitTest[] = [
  {
    name: "rules: Adam adds eps outside the root",
    needs: ["rules"],
    async run(kit) {
      const subject = kit.subject(adam({ lr: 0.5, eps: 1 }), { w: [1] });
      subject.train({ w: [3] });
      // m̂ = 3, v̂ = 9: 0.5 × 3 ÷ (√9 + 1). With ε inside the root it would be 0.5 × 3 ÷ √10.
      await kit.expectParameters("update", subject, { w: [1 - 0.375] });
    },
  },
  {
    name: "rules: Adam corrects its bias from the first step",
    needs: ["rules"],
    async run(kit) {
      const subject = kit.subject(adam({ lr: 0.5, betas: [0.5, 0.75], eps: 0 }), { w: [0] });
      subject.train({ w: [4] });
      // m = 2, v = 4; m̂ = 2 ÷ (1 − 0.5), v̂ = 4 ÷ (1 − 0.75): 0.5 × 4 ÷ √16
      await kit.expectParameters("update: the first step", subject, { w: [-0.5] });
      subject.train({ w: [0] });
      // m = 1, v = 3; m̂ = 1 ÷ 0.75, v̂ = 3 ÷ 0.4375
      await kit.expectParameters("update: the second step", subject, {
        w: [-0.5 - (0.5 * (1 / 0.75)) / Math.sqrt(3 / 0.4375)],
      });
    },
  },
  {
    name: "rules: momentum takes the whole first gradient, dampening the later ones",
    needs: ["rules"],
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1, momentum: 0.5, dampening: 0.25 }), { w: [0] });
      subject.train({ w: [4] });
      await kit.expectParameters("update: the first step", subject, { w: [-4] });
      subject.train({ w: [8] });
      // 0.5 × 4 + 0.75 × 8 = 8
      await kit.expectParameters("update: the second step", subject, { w: [-12] });
    },
  },
  {
    name: "rules: a scalar slot may be returned as a plain number",
    needs: ["rules"],
    async run(kit) {
      const rule = defineUpdateRule({
        name: "Twice after the first",
        hyperparameters: { lr: 1 },
        scalarSlots: () => ({ started: 0 }),
        update: ({ param, grad, started }, { lr }) => ({
          param: sub(param, mul(mul(lr, select(eq(started, 0), 1, 2)), grad)),
          started: 1,
        }),
      });
      const subject = kit.subject(rule(), { w: [10] });
      for (const _ of [1, 2, 3]) subject.train({ w: [1] });
      // 10 − 1 − 2 − 2
      await kit.expectParameters("update", subject, { w: [5] });
      const { params } = await subject.optimizer.stateDict();
      expectEqual("state", "scalar slots", params[0]?.scalarSlots, { started: 1 });
    },
  },
  {
    name: "rules: a shared slot is one number for all tensors, of one that joins later and of one that missed steps",
    needs: ["rules", "portableState"],
    async run(kit) {
      const rule = defineUpdateRule({
        name: "Counting together",
        hyperparameters: { lr: 1 },
        scalarSlots: () => ({ k: shared(0) }),
        update({ param, grad, k }, { lr }) {
          const next = add(k, 1);
          return { param: sub(param, mul(mul(lr, next), grad)), k: next };
        },
      });
      const initials = { w: [0], b: [0], c: [0] };
      const subject = kit.subject(rule(), initials);
      const [w, b, c] = [{ w: [1] }, { b: [1] }, { c: [1] }];
      for (const gradients of [{ ...w, ...b }, w, { ...w, ...b }, { ...w, ...b, ...c }, w])
        subject.train(gradients);
      // −(1 + 2 + 3 + 4 + 5), −(1 + 3 + 4), −4
      await kit.expectParameters("update", subject, { w: [-15], b: [-8], c: [-4] });
      const state = await subject.optimizer.stateDict();
      for (const { name, scalarSlots } of state.params)
        expectEqual("state", `${name}: the shared slot`, scalarSlots, { k: 5 });
      const other = kit.subject(rule(), initials);
      other.optimizer.prepareLoad(state).commit();
      other.train(c);
      other.train({ ...b, ...c });
      // −6 − 7, and b takes its first step here at 7
      await kit.expectParameters("state", other, { w: [0], b: [-7], c: [-13] });
    },
  },
  ...kitRules.flatMap(([name, rule]): readonly KitTest[] => [
    { name: `rules: ${name}`, needs: ["rules"], run: (kit) => compare(kit, rule) },
    {
      name: `rules: ${name}, with a dynamic loss scale and skipped steps`,
      needs: ["rules"],
      run: (kit) => compareScaled(kit, rule),
    },
    {
      name: `rules: ${name}, with NaN, infinite, tiny and no gradients at all`,
      needs: ["rules"],
      run: (kit) => compareExtremes(kit, rule),
    },
  ]),
];

async function compare<H extends BaseHyperparameters>(kit: Kit, rule: UpdateRule<H>): Promise<void> {
  await trainBeside(kit, rule, (subject, reference, step) =>
    kit.expectReference(`update: step ${step}`, subject, reference),
  );
}

/**
 * 12 steps beside the reference: random gradients, some zero, one tiny, one parameter without a gradient for a while. `visit` sees both
 * after each.
 */
export async function trainBeside<H extends BaseHyperparameters>(
  kit: Kit,
  rule: UpdateRule<H>,
  visit: (subject: Subject<H>, reference: Subject<H>, step: number) => Promise<void>,
): Promise<void> {
  const next = repeatable(7);
  const initials = tensors(next);
  const subject = kit.subject(rule, initials);
  const reference = kit.reference(subject, rule, initials);
  for (let step = 0; step < 12; step += 1) {
    const { s, ...others } = gradientsOf(step, next);
    const gradients = step === 4 || step === 5 ? others : { ...others, s: s as Float32Array };
    subject.train(gradients);
    reference.train(gradients);
    await visit(subject, reference, step + 1);
  }
  kit.expectState(
    "update: state",
    await subject.optimizer.stateDict(),
    await reference.optimizer.stateDict(),
  );
}

/** The same with a loss scale that grows every second step; three steps overflow and are skipped. */
async function compareScaled<H extends BaseHyperparameters>(kit: Kit, rule: UpdateRule<H>): Promise<void> {
  const next = repeatable(8);
  const initials = tensors(next);
  const subject = kit.subject(rule, initials);
  const reference = kit.reference(subject, rule, initials);
  const scale = { initScale: 1024, growthInterval: 2 };
  const both = [subject, reference].map((one) => ({
    one,
    lossScaler: one.optimizer.createLossScaler(scale),
  }));
  for (let step = 0; step < 10; step += 1) {
    const gradients = gradientsOf(step, next);
    if (step === 0 || step === 4 || step === 5)
      (gradients["b"] as Float32Array)[1] = step === 4 ? Number.NaN : Infinity;
    for (const { one, lossScaler } of both) {
      one.train(gradients, { lossScaler });
      lossScaler.update();
    }
    await kit.expectReference(`update: step ${step + 1}`, subject, reference);
  }
  kit.expectState(
    "update: state",
    await subject.optimizer.stateDict(),
    await reference.optimizer.stateDict(),
  );
  for (const { lossScaler } of both) lossScaler.dispose();
}

/** Gradients by what is special about them. Where scalars are float32 too, as on devices, the square of a norm must not vanish. */
function extremes({ referenceTolerance }: Kit): Gradients {
  const exact = referenceTolerance === "exact";
  return {
    notFinite: [Number.NaN, Infinity, -Infinity, 1],
    tiny: exact ? [1e-30, -1e-30, 2 ** -126, 2 ** -149] : [1e-16, -1e-16, 1e-18, 1e-30],
    zero: [0, -0, 0, -0],
    large: [1e15, -1e15, 1, 0],
  };
}

/** Each kind in a parameter of its own, since some rules take norms. The steps after it are ordinary. */
async function compareExtremes<H extends BaseHyperparameters>(kit: Kit, rule: UpdateRule<H>): Promise<void> {
  const special = extremes(kit);
  const names = Object.keys(special);
  const initials = Object.fromEntries(names.map((name) => [name, [0.5, -1, 0, 2]]));
  const ordinary = Object.fromEntries(names.map((name) => [name, [0.5, 0.25, -1, 0.125]]));
  const subject = kit.subject(rule, initials);
  const reference = kit.reference(subject, rule, initials);
  for (const [step, gradients] of [special, ordinary, special].entries()) {
    subject.train(gradients);
    reference.train(gradients);
    await kit.expectReference(`update: step ${step + 1}`, subject, reference);
  }
}

function tensors(next: () => number): Record<string, Float32Array> {
  return Object.fromEntries(Object.entries(lengths).map(([name, length]) => [name, noise(next, length)]));
}

function gradientsOf(step: number, next: () => number): Record<string, Float32Array> & Gradients {
  const gradients = tensors(next);
  if (step === 2) gradients["w"]?.fill(0);
  if (step === 6) (gradients["w"] as Float32Array)[0] = 1e-30;
  return gradients;
}
