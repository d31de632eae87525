import type { AnyOptimizer, BaseHyperparameters, NamedTensors } from "@mm/optim-core";
import {
  eq,
  type ErasedDefinition,
  max,
  requireRule,
  resolveHyperparameters,
  select,
  type UpdateRule,
} from "@mm/optim-core/rule";
import { atMostOne } from "./check.ts";
import { asScalar, asTensor, derived, erase, refuseTaken } from "./erased.ts";
import { readAverage } from "./read-average.ts";
import { average } from "./terms.ts";

export interface EmaHyperparameters {
  /** β, from 0 to 1; live, as every hyperparameter: `group.emaDecay = 0.9999`. At 1, where some schedules end, the average stands still. */
  emaDecay: number;
}

/**
 * A rule that also keeps a running average of the parameters, updated inside the same kernel (Polyak averaging with exponential
 * weights; `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn`).
 *
 * ```
 * x ← θ after the first step, then βx + (1 − β)θ after every step
 * ```
 *
 * It follows updates, not micro-batches, and skipped steps leave it alone. Slots: those of the rule and `ema` x, 4 bytes a parameter;
 * scalar slot `emaStarted`, 1 once x holds an average. A state saved without them loads with `strict: false`, and the average starts at
 * the next step. Read it with {@link averagedParameters}.
 *
 * Elsewhere: optax `ema` starts at 0 and corrects the bias. MMEngine's ExponentialMovingAverage has 1 − β as its `momentum`.
 *
 * @throws OptimError `invalid-rule` for a rule that has it already, `invalid-hyperparameter`, `unknown-option`
 */
export function ema<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  hyperparameters: Partial<Readonly<EmaHyperparameters>> = {},
): UpdateRule<H & EmaHyperparameters> {
  requireRule("ema", rule);
  refuseTaken("ema", rule.definition, "emaDecay", ["ema", "emaStarted"]);
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

/**
 * The averages that {@link ema} keeps, by parameter name; for a parameter that took no step yet, its value. A private copy as of the
 * call, in one ArrayBuffer. Waits for the device.
 *
 * To evaluate with them, swap them in and back:
 *
 * ```ts
 * const trained = await optimizer.readParameters();
 * optimizer.writeParameters(await averagedParameters(optimizer));
 * await evaluate();
 * optimizer.writeParameters(trained);
 * ```
 *
 * @throws OptimError `unsupported` where the optimizer's rule keeps none
 */
export function averagedParameters(optimizer: AnyOptimizer): Promise<NamedTensors> {
  return readAverage(
    optimizer,
    "averagedParameters",
    "ema",
    "emaDecay",
    ({ emaStarted }) => emaStarted === 1,
  );
}

const defaults = { emaDecay: 0.999 };
const definitions = /* @__PURE__ */ new WeakMap<ErasedDefinition, ErasedDefinition>();

function derive(inner: ErasedDefinition): ErasedDefinition {
  return {
    ...inner,
    inner,
    name: `EMA(${inner.name})`,
    hyperparameters: { ...inner.hyperparameters, ...defaults },
    check: (h) => inner.check?.(h) ?? atMostOne({ emaDecay: h["emaDecay"] as number }),
    slots: (structure) => ({ ...inner.slots?.(structure), ema: 0 }),
    scalarSlots: (h, structure) => ({ ...inner.scalarSlots?.(h, structure), emaStarted: 0 }),
    update(x, h, structure) {
      const next = inner.update(x, h, structure);
      const param = asTensor(next["param"]);
      const started = asScalar(x["emaStarted"]);
      const averaged = average(asScalar(h["emaDecay"]), asTensor(x["ema"]), param);
      return {
        ...next,
        ema: erase(select(eq(started, 0), param, averaged)),
        emaStarted: erase(max(started, 1)),
      };
    },
  };
}
