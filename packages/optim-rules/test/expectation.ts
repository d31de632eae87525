import type { BaseHyperparameters } from "@mm/optim-core";
import type { UpdateRule, UpdateRuleFactory } from "@mm/optim-core/rule";
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
} from "@mm/optim-rules";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";
import * as formulas from "./formulas.ts";

/** A rule beside its formula; the hyperparameters' type is forgotten, so that all stand in one table. */
export interface Pair {
  readonly name: string;
  readonly factory: (settings?: Settings) => UpdateRule;
  /** Hyperparameters worth trying: each switch on and off, each slot there and not. */
  readonly variants: readonly Settings[];
  /** Runs both over the same gradients: where parameters differ after a step, and slots and step counts at the end, in words. */
  readonly differences: (run: Run) => Promise<readonly string[]>;
}

export type Settings = { readonly [name: string]: number | boolean | readonly number[] };

interface Run {
  readonly settings: Settings;
  readonly init: { readonly [name: string]: readonly number[] };
  /** By step; a parameter that is not named has no gradient then. Numbers that float32 holds. */
  readonly gradients: readonly { readonly [name: string]: readonly number[] }[];
  /** The assignments to the group before the step of that index. */
  readonly changes?: { readonly [step: number]: Settings };
}

/**
 * float32 against float64 over a dozen steps: each step rounds a handful of times, by at most 6e-8 of the value. The tolerance that the
 * recorded PyTorch trajectories allow parameters is 5e-6 + 1e-5·|b|; here it is ten times tighter.
 */
const closeParameter = (b: number): number => 5e-7 + 1e-6 * Math.abs(b);
/** Slots are far from 1, so theirs is relative to the tensor; 1e-38 is where float32 has no digits left. */
const closeSlot = (b: number, largest: number): number => 1e-6 * Math.abs(b) + 1e-6 * largest + 1e-38;

function pair<H extends BaseHyperparameters, S extends { [slot: string]: number }>(
  name: string,
  factory: UpdateRuleFactory<H>,
  formula: formulas.Formula<H, S>,
  variants: readonly Partial<H>[],
): Pair {
  return {
    name,
    factory: (settings) => factory(settings as Partial<H>),
    variants: variants as readonly Settings[],
    async differences({ settings, init, gradients, changes = {} }) {
      const found: string[] = [];
      const rule = factory(settings as Partial<H>);
      const names = Object.keys(init);
      const actual = new Map(names.map((key) => [key, Float32Array.from(init[key] ?? [])]));
      const optimizer = arrayOptimizer(rule, Object.fromEntries(actual));
      const expected = new Map(names.map((key) => [key, [...(actual.get(key) ?? [])]]));
      const states = new Map<string, S[]>();
      const steps = new Map<string, number>();
      const h: H = { ...rule.hyperparameters };

      for (const [index, given] of gradients.entries()) {
        const change = changes[index] ?? {};
        Object.assign(h, change);
        Object.assign(optimizer.paramGroups[0], change);
        stepWith(optimizer, given);
        for (const [key, gradient] of Object.entries(given)) {
          const p = expected.get(key) ?? [];
          const state = states.get(key) ?? p.map((value) => formula.start(h, value));
          const t = (steps.get(key) ?? 0) + 1;
          states.set(key, state);
          steps.set(key, t);
          const given = p.map((value, i) => ({ p: value, g: gradient[i] ?? Number.NaN, t, h }));
          const elements = given.map((x, i) => ({ ...x, p: formula.before?.(state[i] as S, x) ?? x.p }));
          const r = elements.map((x, i) => formula.direction?.(state[i] as S, x) ?? 0);
          const norms = {
            p: norm(elements.map((x) => x.p)),
            g: norm(elements.map(({ g }) => g)),
            r: norm(r),
            size: p.length,
          };
          expected.set(
            key,
            elements.map((x, i) => formula.next(state[i] as S, { ...x, r: r[i] ?? 0, norms })),
          );
        }
        for (const key of names) {
          const where = `${key} after step ${index}`;
          found.push(...unequal(actual.get(key) ?? [], expected.get(key) ?? [], where, closeParameter));
        }
      }

      const saved = await optimizer.stateDict();
      for (const { name: key, step, slots, scalarSlots } of saved.params) {
        if (step !== (steps.get(key) ?? 0)) found.push(`${key}: step ${step}, expected ${steps.get(key)}`);
        const state = states.get(key) ?? [];
        for (const [slot, values] of Object.entries(slots)) {
          const wanted = state.map((element) => element[slot] ?? Number.NaN);
          const largest = Math.max(0, ...wanted.filter(Number.isFinite).map(Math.abs));
          found.push(...unequal(values, wanted, `${key}.${slot}`, (b) => closeSlot(b, largest)));
        }
        for (const [slot, value] of Object.entries(scalarSlots)) {
          // Every element's formula keeps its own copy of what is one number to the rule.
          const wanted = state.slice(0, 1).map((element) => element[slot] ?? Number.NaN);
          found.push(
            ...unequal(
              wanted.map(() => value),
              wanted,
              `${key}.${slot}`,
              (b) => closeSlot(b, 0),
            ),
          );
        }
      }
      return found;
    },
  };
}

function unequal(
  actual: ArrayLike<number>,
  expected: readonly number[],
  where: string,
  tolerance: (b: number) => number,
): string[] {
  if (actual.length !== expected.length)
    return [`${where}: ${actual.length} elements, expected ${expected.length}`];
  return expected.flatMap((b, i) => {
    const a = actual[i] as number;
    const same = Number.isFinite(b) ? Math.abs(a - b) <= tolerance(b) : Object.is(a, b);
    return same ? [] : [`${where}[${i}]: ${a}, expected ${b}`];
  });
}

const norm = (x: readonly number[]): number => Math.sqrt(x.reduce((sum, value) => sum + value ** 2, 0));

/** Rates large enough that an error shows in a dozen steps. */
export const pairs: readonly Pair[] = [
  pair("sgd", sgd, formulas.sgd, [
    { lr: 0.1 },
    { lr: 0.1, weightDecay: 0.05, maximize: true },
    { lr: 0.1, momentum: 0.9 },
    { lr: 0.1, momentum: 0.9, dampening: 0.3, weightDecay: 0.05 },
    { lr: 0.1, momentum: 0.8, nesterov: true, weightDecay: 0.05, maximize: true },
  ]),
  pair("adam", adam, formulas.adam, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.05, maximize: true },
    { lr: 0.02, betas: [0.8, 0.9], amsgrad: true },
    { lr: 0.02, betas: [0, 0], eps: 1e-3, amsgrad: true, weightDecay: 0.1, maximize: true },
  ]),
  pair("adamw", adamw, formulas.adamw, [
    { lr: 0.02 },
    { lr: 0.02, weightDecay: 0 },
    { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.3, maximize: true },
    { lr: 0.02, betas: [0.8, 0.9], amsgrad: true },
    { lr: 0.02, betas: [0.8, 0.9], amsgrad: true, weightDecay: 0, maximize: true },
  ]),
  pair("nadam", nadam, formulas.nadam, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.05, momentumDecay: 0.3, maximize: true },
    { lr: 0.02, weightDecay: 0.3, decoupledWeightDecay: true },
    { lr: 0.02, decoupledWeightDecay: true, maximize: true },
  ]),
  pair("radam", radam, formulas.radam, [
    { lr: 0.02 }, // β₂ = 0.999: rectifies from step 6 on
    { lr: 0.02, betas: [0.8, 0.5], weightDecay: 0.05, maximize: true }, // ρ∞ = 3: never rectifies
    { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.3, decoupledWeightDecay: true },
    { lr: 0.02, betas: [0.8, 0.6], decoupledWeightDecay: true, maximize: true }, // ρ∞ = 4: r divides by 0, unused
  ]),
  pair("adamax", adamax, formulas.adamax, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.9], weightDecay: 0.05, maximize: true },
  ]),
  pair("adagrad", adagrad, formulas.adagrad, [
    { lr: 0.1 },
    { lr: 0.1, lrDecay: 0.1, initialAccumulatorValue: 0.3, weightDecay: 0.05, maximize: true },
  ]),
  pair("adadelta", adadelta, formulas.adadelta, [
    { lr: 1 },
    { lr: 2, rho: 0.8, eps: 1e-3, weightDecay: 0.05, maximize: true },
  ]),
  pair("rmsprop", rmsprop, formulas.rmsprop, [
    { lr: 0.02 },
    { lr: 0.02, alpha: 0.9, weightDecay: 0.05, maximize: true },
    { lr: 0.02, momentum: 0.8 },
    { lr: 0.02, centered: true, eps: 1e-3 },
    { lr: 0.02, momentum: 0.8, centered: true, eps: 1e-3, weightDecay: 0.05, maximize: true },
  ]),
  pair("rprop", rprop, formulas.rprop, [
    { lr: 0.02 },
    { lr: 0.02, etas: [0.6, 1.5], stepSizes: [0.015, 0.05], maximize: true },
  ]),
  pair("scheduleFreeSgd", scheduleFreeSgd, formulas.scheduleFreeSgd, [
    { lr: 0.1 },
    { lr: 0.1, momentum: 0.6, weightDecay: 0.05, warmupSteps: 4, r: 1.5, weightLrPower: 1, maximize: true },
  ]),
  pair("scheduleFreeAdamw", scheduleFreeAdamw, formulas.scheduleFreeAdamw, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.3, warmupSteps: 4, maximize: true },
    { lr: 0.02, betas: [0.8, 0.9], innerMomentum: 0.7, r: 0.5, weightLrPower: 0 },
  ]),
  pair("scheduleFreeRadam", scheduleFreeRadam, formulas.scheduleFreeRadam, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.3, silentSgdPhase: false, maximize: true },
    { lr: 0.02, betas: [0.8, 0.6], silentSgdPhase: false }, // ρ∞ = 4: r divides by 0, unused
  ]),
  pair("asgd", asgd, formulas.asgd, [
    { lr: 0.1 },
    { lr: 0.1, lambd: 0.1, alpha: 0.6, t0: 3, weightDecay: 0.05, maximize: true },
  ]),
  pair("lion", lion, formulas.lion, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.3, maximize: true },
  ]),
  pair("signum", signum, formulas.signum, [
    { lr: 0.02 },
    { lr: 0.02, momentum: 0, weightDecay: 0.3 },
    { lr: 0.02, momentum: 0.5, weightDecay: 0.3, maximize: true },
  ]),
  pair("adabelief", adabelief, formulas.adabelief, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.95], eps: 1e-4, weightDecay: 0.3, maximize: true },
    { lr: 0.02, betas: [0.8, 0.9], amsgrad: true },
    { lr: 0.02, weightDecay: 0.05, decoupledWeightDecay: false, eps: 1e-6, amsgrad: true, maximize: true },
    { lr: 0.02, rectify: true, eps: 1e-6, weightDecay: 0.1 },
    { lr: 0.02, rectify: true, eps: 1e-6, amsgrad: true, betas: [0.8, 0.9], decoupledWeightDecay: false },
  ]),
  pair("adan", adan, formulas.adan, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.9, 0.8, 0.95], weightDecay: 0.3, maximize: true },
    { lr: 0.02, weightDecay: 0.3, noProx: true },
    { lr: 0.02, noProx: true, maximize: true },
  ]),
  pair("lamb", lamb, formulas.lamb, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0, maximize: true },
    { lr: 0.02, weightDecay: 0, alwaysAdapt: false },
    { lr: 0.02, weightDecay: 0.3, decoupledWeightDecay: true, trustClip: true },
    { lr: 0.02, gradAveraging: false, biasCorrected: false, alwaysAdapt: false, trustClip: true },
  ]),
  pair("lars", lars, formulas.lars, [
    { lr: 10 },
    { lr: 10, momentum: 0, weightDecay: 0, eps: 0.1 },
    { lr: 10, trustCoefficient: 2e-3, nesterov: true, weightDecay: 0.1, maximize: true },
    { lr: 0.1, weightDecay: 0, alwaysAdapt: false },
    { lr: 0.1, trustCoefficient: 0.5, trustClip: true, lrInMomentum: false },
    { lr: 2, trustCoefficient: 0.02, trustClip: true, lrInMomentum: false, nesterov: true, weightDecay: 0.1 },
  ]),
  pair("novograd", novograd, formulas.novograd, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.5], weightDecay: 0.1, gradAveraging: true, maximize: true },
    { lr: 0.02, betas: [0.8, 0.5], amsgrad: true },
  ]),
  pair("nadamw", nadamw, formulas.nadamw, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.95], weightDecay: 0.3, maximize: true },
  ]),
  pair("adamwEpsilonHat", adamwEpsilonHat, formulas.adamwEpsilonHat, [
    { lr: 0.02, eps: 0.01 },
    { lr: 0.02, betas: [0.8, 0.95], eps: 0.01, weightDecay: 0.3, maximize: true },
    { lr: 0.003, biasCorrected: false },
  ]),
  pair("sgdw", sgdw, formulas.sgdw, [
    { lr: 0.1, weightDecay: 0.05 },
    { lr: 0.1, momentum: 0.9, weightDecay: 0.3, maximize: true },
    { lr: 0.1, momentum: 0.9, dampening: 0.3 },
    { lr: 0.1, momentum: 0.8, nesterov: true, weightDecay: 0.05 },
  ]),
  pair("yogi", yogi, formulas.yogi, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.9], initialAccumulatorValue: 0.1, weightDecay: 0.1, maximize: true },
  ]),
  pair("laprop", laprop, formulas.laprop, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.95, 0.8], eps: 0.01, weightDecay: 0.3, maximize: true },
  ]),
  pair("adopt", adopt, formulas.adopt, [
    { lr: 0.02 },
    { lr: 0.02, weightDecay: 0.1, betas: [0.8, 0.9], clipExponent: 0.1, maximize: true },
    { lr: 0.02, weightDecay: 0.1, decoupledWeightDecay: true, clips: false },
  ]),
  pair("ademamix", ademamix, formulas.ademamix, [
    { lr: 0.02 },
    { lr: 0.02, alpha: 5, alphaWarmup: 6, beta3Warmup: 8, weightDecay: 0.1, maximize: true },
    { lr: 0.02, betas: [0, 0.9, 0.99], beta3Warmup: 5, eps: 0.01 },
  ]),
  pair("stableAdamw", stableAdamw, formulas.stableAdamw, [
    { lr: 0.02 },
    { lr: 0.02, betas: [0.8, 0.7], eps: 0.1, weightDecay: 0.3, maximize: true },
  ]),
  pair("mars", mars, formulas.mars, [
    { lr: 0.02 },
    { lr: 0.02, gamma: 0.5, correctsFirst: false, weightDecay: 0.1, maximize: true },
    { lr: 0.02, betas: [0.8, 0.9], amsgrad: true },
  ]),
  pair("marsLion", marsLion, formulas.marsLion, [
    { lr: 0.02 },
    { lr: 0.02, gamma: 0.5, momentum: 0.8, correctsFirst: false, weightDecay: 0.1, maximize: true },
  ]),
];
