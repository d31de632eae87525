import { type BaseHyperparameters } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import {
  add,
  div,
  type ErasedDefinition,
  type Expression,
  gt,
  max,
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
import { checkSchema, isFinite32, type Schema } from "@mm/optim-core/schema";
import { asTensor, derived, erase } from "./erased.ts";
import { square } from "./terms.ts";

export interface CautiousOptions {
  /**
   * Divide by the mean of φ, taken as at least this much, in place of (‖φ‖₀ + 1)/d. 1e-3 is C-Optim's C-AdamW and C-Muon, and timm's
   * `caution`; 1e-5 is lion-pytorch's.
   */
  readonly floor?: number;
  /** φ of an element whose step goes uphill. Default 0. lion-pytorch calls it `cautious_factor`. */
  readonly uphill?: number;
}

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
 * pass over the tensors, which counts φ. For rules whose next parameter is `sub(…, step)`, and whose slots do not hold the parameter: all here
 * but ASGD, and Adan with its proximal decay. Around a rule that takes norms (LAMB, LARS, NovoGrad, Muon) it needs a backend with the operation
 * `"nested norm"`. `ema` and `lookahead` go around it.
 *
 * A NaN in the gradient reaches its own element, as without it.
 *
 * Elsewhere: the authors' own C-AdamW, and timm, have `floor: 1e-3`; their C-Lion has the paper's formula. The paper's C-AdamW decays after the
 * step, this one where the rule does.
 *
 * @throws OptimError `invalid-option`; `invalid-rule`, when an optimizer is made of it, for a rule of another form
 *
 * @example
 * ```ts
 * wasmOptimizer(cautious(adamw({ lr: 3e-4 })), parameters);
 * ```
 */
export function cautious<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  options: CautiousOptions = {},
): UpdateRule<H> {
  requireRule("cautious", rule);
  checkSchema("invalid-option", "cautious", options, schema);
  const { uphill = 0, floor } = options;
  // One definition for each rule and pair of options, since backends keep compiled kernels by definition.
  const key = `${uphill} ${floor}`;
  const known = definitions.get(key) ?? new WeakMap<ErasedDefinition, ErasedDefinition>();
  definitions.set(key, known);
  const definition = derived(known, rule.definition, (inner) => derive(inner, uphill, floor));
  return { ...rule, name: definition.name, definition };
}

const schema: Schema = {
  fields: {
    "floor?": [(value) => isFinite32(value) && value > 0 && value <= 1, "a number above 0 and at most 1"],
    "uphill?": [(value) => isFinite32(value) && value >= 0 && value <= 1, "a number from 0 to 1"],
  },
};

const definitions = /* @__PURE__ */ new Map<string, WeakMap<ErasedDefinition, ErasedDefinition>>();

function derive(inner: ErasedDefinition, uphill: number, floor: number | undefined): ErasedDefinition {
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
      const sum = uphill === 0 ? kept : add(kept, mul(uphill, sub(all, kept)));
      const scale = floor === undefined ? div(all, add(sum, 1)) : div(1, max(div(sum, all), floor));
      return { ...slots, param: erase(sub(before, mul(mul(step, select(downhill, 1, uphill)), scale))) };
    },
  };
}

/** The values that `update` may return under one name. */
type Returned = ReturnType<ErasedDefinition["update"]>[string];

/** The next parameter, as what it was before the step and the step. */
function takeApart(
  param: Returned,
  slots: readonly Returned[],
  name: string,
): { readonly before: Tensor; readonly step: Tensor } {
  const next = typeof param === "object" ? param : undefined;
  const [before, step] = next?.op === "sub" ? next.args : [];
  const held = slots.some(
    (slot) => typeof slot === "object" && next !== undefined && contains(slot, next, new Set()),
  );
  if (step?.elementwise === true && !held) return { before: asTensor(before), step: asTensor(step) };
  return refuse(
    "invalid-rule",
    name,
    "a rule whose next parameter is sub(…, step), and in no slot",
    held ? "a slot that holds it" : `${next?.op}(…)`,
    { hint: "Put cautious() next to the rule: ema() and lookahead() go around it" },
  );
}

function contains(expression: Expression, part: Expression, seen: Set<Expression>): boolean {
  if (expression === part) return true;
  if (seen.has(expression)) return false;
  seen.add(expression);
  return expression.args.some((arg) => contains(arg, part, seen));
}
