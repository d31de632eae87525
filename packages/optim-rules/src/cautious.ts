import { type BaseHyperparameters, OptimError } from "@mm/optim-core";
import {
  add,
  div,
  type ErasedDefinition,
  type Expression,
  gt,
  mul,
  neg,
  norm,
  requireRule,
  select,
  sign,
  sub,
  type Tensor,
  type UpdateRule,
} from "@mm/optim-core/rule";
import { asTensor, derived, erase } from "./erased.ts";
import { square } from "./terms.ts";

/**
 * A rule that moves only the elements whose step goes down the present gradient, and moves them further (Liang et al., "Cautious
 * Optimizers", arXiv:2411.16085, algorithms 2 and 3: C-AdamW and C-Lion).
 *
 * ```
 * φ = 1 where u·g > 0, else 0          u the step of the rule, without decoupled weight decay
 * θ ← θ − φu·d/(‖φ‖₀ + 1)              d elements, ‖φ‖₀ of them kept
 * ```
 *
 * Hyperparameters and slots are those of the rule, whose saved state loads with `strict: false` (the rule's name differs). Costs a second
 * pass over the tensors, which counts φ. For rules whose next parameter is `sub(…, step)`, which take no norm, and whose slots do not hold
 * the parameter: all here but LAMB, LARS, NovoGrad, ASGD, and Adan with its proximal decay. `ema` and `lookahead` go around it.
 *
 * A NaN in the gradient reaches its own element, as without it.
 *
 * Elsewhere: timm and others divide by max(mean φ, 1e-3) instead of (‖φ‖₀ + 1)/d. The authors' C-AdamW decays after the step, this one
 * where the rule does.
 *
 * @throws OptimError `invalid-rule`, when an optimizer is made of it, for a rule of another form
 *
 * @example
 * ```ts
 * wasmOptimizer(cautious(adamw({ lr: 3e-4 })), parameters);
 * ```
 */
export function cautious<H extends BaseHyperparameters>(rule: UpdateRule<H>): UpdateRule<H> {
  requireRule("cautious", rule);
  const definition = derived(definitions, rule.definition, derive);
  return { ...rule, name: definition.name, definition };
}

const definitions = /* @__PURE__ */ new WeakMap<ErasedDefinition, ErasedDefinition>();

function derive(inner: ErasedDefinition): ErasedDefinition {
  const name = `Cautious(${inner.name})`;
  return {
    ...inner,
    name,
    update(x, hyperparameters, structure) {
      const { param, ...slots } = inner.update(x, hyperparameters, structure);
      const { before, step } = takeApart(param, Object.values(slots), name);
      const grad = asTensor(x["grad"]);
      // Signs, so that the product of two small numbers cannot vanish.
      const downhill = gt(mul(sign(step), sign(structure["maximize"] === true ? neg(grad) : grad)), 0);
      // The squared norm of ones counts them.
      const kept = square(norm(select(downhill, 1, 0)));
      const all = square(norm(select(downhill, 1, 1)));
      const scale = div(all, add(kept, 1));
      return { ...slots, param: erase(sub(before, mul(mul(step, select(downhill, 1, 0)), scale))) };
    },
  };
}

/** The next parameter, as what it was before the step and the step. */
function takeApart(
  param: Expression | undefined,
  slots: readonly (Expression | undefined)[],
  name: string,
): { readonly before: Tensor; readonly step: Tensor } {
  const [before, step] = param?.op === "sub" ? param.args : [];
  const held = slots.some(
    (slot) => slot !== undefined && param !== undefined && contains(slot, param, new Set()),
  );
  if (step?.elementwise === true && !held) return { before: asTensor(before), step: asTensor(step) };
  throw new OptimError("invalid-rule", name, {
    expected: "a rule whose next parameter is sub(…, step), and in no slot",
    received: held ? "a slot that holds it" : `${param?.op}(…)`,
    hint: "Put cautious() next to the rule: ema() and lookahead() go around it",
  });
}

function contains(expression: Expression, part: Expression, seen: Set<Expression>): boolean {
  if (expression === part) return true;
  if (seen.has(expression)) return false;
  seen.add(expression);
  return expression.args.some((arg) => contains(arg, part, seen));
}
