import type { BaseHyperparameters } from "@mm/optim-core";
import {
  add,
  eq,
  type ErasedDefinition,
  lt,
  mul,
  requireRule,
  resolveHyperparameters,
  select,
  sub,
  type UpdateRule,
} from "@mm/optim-core/rule";
import { atMostOne } from "./check.ts";
import { asScalar, asTensor, derived, erase, refuseTaken } from "./erased.ts";

export interface LookaheadHyperparameters {
  /** k: every so many steps the parameters move back to the slow weights. An integer. */
  syncPeriod: number;
  /** α: how far the slow weights follow, from 0 to 1. At 0 every k-th step takes the parameters back to where they began. */
  slowStepSize: number;
}

/**
 * Lookahead: k steps forward, one step back (Zhang et al., arXiv:1907.08610, algorithm 1). The rule makes the fast steps.
 *
 * ```
 * φ ← θ before the first step of a period
 * θ ← the rule's step
 * φ ← φ + α(θ − φ),  θ ← φ       after its k-th step
 * ```
 *
 * Slots: those of the rule, which go on through a sync, and `slow` φ, which begins as the parameter, 4 bytes a parameter; scalar slot `stepsSinceSync`. k may change
 * live. A model is evaluated at φ: `wrapper.evaluating(run)`.
 *
 * Elsewhere: the authors' code takes α = 0.8 and can also pull the momentum back or reset it. optax keeps φ in the parameters instead.
 *
 * @throws OptimError `invalid-rule` for a rule that has it already, `invalid-hyperparameter`, `unknown-option`
 */
export function lookahead<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  hyperparameters: Partial<Readonly<LookaheadHyperparameters>> = {},
): UpdateRule<H & LookaheadHyperparameters> {
  requireRule("lookahead", rule);
  refuseTaken("lookahead", rule.definition, "syncPeriod", ["slow", "stepsSinceSync"]);
  const definition = derived(definitions, rule.definition, derive);
  const base = { ...rule.hyperparameters, ...defaults };
  return {
    kind: "update-rule",
    name: definition.name,
    hyperparameters: resolveHyperparameters(
      definition,
      base,
      hyperparameters,
      "lookahead",
    ) as unknown as Readonly<H & LookaheadHyperparameters>,
    definition,
  };
}

const defaults = { syncPeriod: 5, slowStepSize: 0.5 };
const definitions = /* @__PURE__ */ new WeakMap<ErasedDefinition, ErasedDefinition>();

function derive(inner: ErasedDefinition): ErasedDefinition {
  return {
    ...inner,
    inner,
    name: `Lookahead(${inner.name})`,
    hyperparameters: { ...inner.hyperparameters, ...defaults },
    check: (h) => inner.check?.(h) ?? checkLookahead(h["syncPeriod"] as number, h["slowStepSize"] as number),
    slots: (structure) => ({ ...inner.slots?.(structure), slow: "param" }),
    scalarSlots: (h, structure) => ({ ...inner.scalarSlots?.(h, structure), stepsSinceSync: 0 }),
    update(x, h, structure) {
      const next = inner.update(x, h, structure);
      const fast = asTensor(next["param"]);
      const taken = asScalar(x["stepsSinceSync"]);
      const count = add(taken, 1);
      const inPeriod = lt(count, asScalar(h["syncPeriod"]));
      const slow = select(eq(taken, 0), asTensor(x["param"]), asTensor(x["slow"]));
      const followed = add(slow, mul(asScalar(h["slowStepSize"]), sub(fast, slow)));
      return {
        ...next,
        param: erase(select(inPeriod, fast, followed)),
        slow: erase(select(inPeriod, slow, followed)),
        stepsSinceSync: erase(select(inPeriod, count, 0)),
      };
    },
    evaluate: (x) => x["slow"] as ReturnType<typeof erase>,
  };
}

function checkLookahead(syncPeriod: number, slowStepSize: number): string | undefined {
  if (!Number.isSafeInteger(syncPeriod) || syncPeriod < 1) return "syncPeriod a positive integer";
  return atMostOne({ slowStepSize });
}
