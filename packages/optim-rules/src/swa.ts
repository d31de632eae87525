import type { BaseHyperparameters } from "@mm/optim-core";
import {
  add,
  div,
  eq,
  type ErasedDefinition,
  gt,
  lt,
  mul,
  requireRule,
  resolveHyperparameters,
  select,
  sub,
  type UpdateRule,
} from "@mm/optim-core/rule";
import { firstReason, wholeNumbers } from "./check.ts";
import { asScalar, asTensor, derived, erase, refuseTaken } from "./erased.ts";

export interface SwaHyperparameters {
  /** Steps of a parameter before the first that may be averaged. Default 0. */
  swaBegin: number;
  /** Averages after every so many steps, counted from `swaBegin`. Default 1. */
  swaEvery: number;
}

/**
 * A rule that also keeps the equal mean of the parameters (stochastic weight averaging: Izmailov et al., arXiv:1803.05407, algorithm 1),
 * as `torch.optim.swa_utils.AveragedModel`. A model is evaluated with it: `wrapper.evaluating(run)`.
 *
 * ```
 * x ← θ until the first average, and with it         n = 0, then 1
 * x ← x + (θ − x)/(n + 1), n ← n + 1                 with every further one
 * ```
 *
 * It follows updates, not micro-batches, and skipped steps leave it alone. Slots: those of the rule and `swa` x, 4 bytes a parameter; scalar slots
 * `swaCount` n and `stepsSinceSwa`. A state saved without them loads with `strict: false`, and the mean begins at the next step.
 *
 * Elsewhere: AveragedModel holds the initial parameters until its first update, and layers with batch statistics need `update_bn` after it; here, too,
 * they are the program's to compute.
 *
 * @throws OptimError `invalid-rule` for a rule that has it already, `invalid-hyperparameter`, `unknown-option`
 */
export function swa<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  hyperparameters: Partial<Readonly<SwaHyperparameters>> = {},
): UpdateRule<H & SwaHyperparameters> {
  requireRule("swa", rule);
  refuseTaken("swa", rule.definition, "swaEvery", ["swa", "swaCount", "stepsSinceSwa"]);
  const definition = derived(definitions, rule.definition, derive);
  const base = { ...rule.hyperparameters, ...defaults };
  return {
    kind: "update-rule",
    name: definition.name,
    hyperparameters: resolveHyperparameters(definition, base, hyperparameters, "swa") as unknown as Readonly<
      H & SwaHyperparameters
    >,
    definition,
  };
}

const defaults = { swaBegin: 0, swaEvery: 1 };
const definitions = /* @__PURE__ */ new WeakMap<ErasedDefinition, ErasedDefinition>();

function derive(inner: ErasedDefinition): ErasedDefinition {
  return {
    ...inner,
    inner,
    name: `SWA(${inner.name})`,
    hyperparameters: { ...inner.hyperparameters, ...defaults },
    check: (h) =>
      inner.check?.(h) ??
      firstReason(
        wholeNumbers({ swaBegin: h["swaBegin"] as number }, 0),
        wholeNumbers({ swaEvery: h["swaEvery"] as number }, 1),
      ),
    slots: (structure) => ({ ...inner.slots?.(structure), swa: "param" }),
    scalarSlots: (h, structure) => ({ ...inner.scalarSlots?.(h, structure), swaCount: 0, stepsSinceSwa: 0 }),
    update(x, h, structure) {
      const next = inner.update(x, h, structure);
      const param = asTensor(next["param"]);
      const [mean, count] = [asTensor(x["swa"]), asScalar(x["swaCount"])];
      const every = asScalar(h["swaEvery"]);
      const begun = gt(asScalar(x["step"]), asScalar(h["swaBegin"]));
      const since = select(begun, add(asScalar(x["stepsSinceSwa"]), 1), 0);
      // 1 in a step that is averaged, else 0.
      const taken = select(lt(since, every), 0, 1);
      const followed = add(mean, mul(div(1, add(count, 1)), sub(param, mean)));
      return {
        ...next,
        swa: erase(select(eq(count, 0), param, select(gt(taken, 0), followed, mean))),
        swaCount: erase(add(count, taken)),
        stepsSinceSwa: erase(mul(since, sub(1, taken))),
      };
    },
    evaluate: (x) => x["swa"] as ReturnType<typeof erase>,
  };
}
