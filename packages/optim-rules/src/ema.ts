import type { BaseHyperparameters } from "@mm/optim-core";
import {
  add,
  div,
  type ErasedDefinition,
  gt,
  lt,
  min,
  requireRule,
  resolveHyperparameters,
  type Scalar,
  select,
  sub,
  type UpdateRule,
} from "@mm/optim-core/rule";
import { atLeastZero, atMostOne, firstReason, wholeNumbers } from "./check.ts";
import { asScalar, asTensor, derived, erase, refuseTaken } from "./erased.ts";
import { average } from "./terms.ts";

export interface EmaHyperparameters {
  /** β, from 0 to 1; live, as every hyperparameter: `group.emaDecay = 0.9999`. At 1, where some schedules end, the average stands still. */
  emaDecay: number;
  /** γ: the n-th average is taken with min(β, (n − 1)/(γ + n − 1)) for β, so that early parameters are soon forgotten. Default 0: none. */
  emaWarmup: number;
  /** Steps of a parameter in which the average is the parameter itself. Default 0: it begins at the initial parameter. */
  emaBegin: number;
  /** Averages after every so many steps, counted from `emaBegin`. Default 1. */
  emaEvery: number;
}

/**
 * A rule that also keeps a running average of the parameters, updated inside the same kernel (Polyak averaging with exponential
 * weights). A model is evaluated with it: `wrapper.evaluating(run)`.
 *
 * ```
 * x ← θ before the first step
 * x ← βx + (1 − β)θ after every step
 * ```
 *
 * It follows updates, not micro-batches, and skipped steps leave it alone. Slots: those of the rule and `ema` x, which begins as the parameter,
 * 4 bytes a parameter; with `emaEvery` above 1 the scalar slot `stepsSinceEma`. A state saved without them loads with `strict: false`, and
 * the average begins at the parameter of the next step.
 *
 * Elsewhere: `torch.optim.swa_utils.AveragedModel` begins with the parameters after the first step, as `emaBegin: 1` does. optax `ema`
 * starts at 0 and corrects the bias. MMEngine's ExponentialMovingAverage has 1 − β as its `momentum`, and its MomentumAnnealingEMA γ as `gamma`.
 *
 * @throws OptimError `invalid-rule` for a rule that has it already, `invalid-hyperparameter`, `unknown-option`
 */
export function ema<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  hyperparameters: Partial<Readonly<EmaHyperparameters>> = {},
): UpdateRule<H & EmaHyperparameters> {
  requireRule("ema", rule);
  refuseTaken("ema", rule.definition, "emaDecay", ["ema", "stepsSinceEma"]);
  const definition = derived(definitions, rule.definition, derive);
  const base = { ...rule.hyperparameters, ...defaults };
  return {
    kind: "update-rule",
    name: definition.name,
    hyperparameters: resolveHyperparameters(definition, base, hyperparameters, "ema") as unknown as Readonly<
      H & EmaHyperparameters
    >,
    definition,
  };
}

const defaults = { emaDecay: 0.999, emaWarmup: 0, emaBegin: 0, emaEvery: 1 };
const definitions = /* @__PURE__ */ new WeakMap<ErasedDefinition, ErasedDefinition>();

function derive(inner: ErasedDefinition): ErasedDefinition {
  return {
    ...inner,
    inner,
    name: `EMA(${inner.name})`,
    hyperparameters: { ...inner.hyperparameters, ...defaults },
    check: (h) => inner.check?.(h) ?? checkEma(h as unknown as EmaHyperparameters),
    structure: (h) => ({
      ...inner.structure?.(h),
      emaWarms: h["emaWarmup"] !== 0,
      emaWaits: h["emaBegin"] !== 0,
      emaSkips: h["emaEvery"] !== 1,
    }),
    slots: (structure) => ({ ...inner.slots?.(structure), ema: "param" }),
    scalarSlots: (h, structure) => ({
      ...inner.scalarSlots?.(h, structure),
      ...(structure["emaSkips"] === true && { stepsSinceEma: 0 }),
    }),
    update(x, h, structure) {
      const next = inner.update(x, h, structure);
      const param = asTensor(next["param"]);
      const [begin, every] = [asScalar(h["emaBegin"]), asScalar(h["emaEvery"])];
      const age = sub(asScalar(x["step"]), begin);
      const before = asTensor(x["ema"]);
      const decay = asScalar(h["emaDecay"]);
      const taken =
        structure["emaWarms"] === true ? warm(decay, asScalar(h["emaWarmup"]), age, every) : decay;
      let mean = average(taken, before, param);
      const since = structure["emaSkips"] === true ? asScalar(x["stepsSinceEma"]) : undefined;
      const count = since && select(gt(age, 0), add(since, 1), 0);
      if (count) mean = select(lt(count, every), before, mean);
      if (structure["emaWaits"] === true) mean = select(gt(age, 0), mean, param);
      return {
        ...next,
        ema: erase(mean),
        ...(count && { stepsSinceEma: erase(select(lt(count, every), count, 0)) }),
      };
    },
    evaluate: (x) => x["ema"] as ReturnType<typeof erase>,
  };
}

/** min(β, n/(γ + n)) of the average that n averages came before. */
function warm(decay: Scalar, warmup: Scalar, age: Scalar, every: Scalar): Scalar {
  const earlier = sub(div(age, every), 1);
  return min(decay, select(gt(earlier, 0), div(earlier, add(warmup, earlier)), 0));
}

function checkEma({ emaDecay, emaWarmup, emaBegin, emaEvery }: EmaHyperparameters): string | undefined {
  return firstReason(
    atMostOne({ emaDecay }),
    atLeastZero({ emaWarmup }),
    wholeNumbers({ emaBegin }, 0),
    wholeNumbers({ emaEvery }, 1),
  );
}
