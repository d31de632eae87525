import { allSlots, refuse, structureOf } from "@mm/optim-core/backend";
import type { ErasedDefinition, Expression, Scalar, Tensor } from "@mm/optim-core/rule";

/** The definition that a combinator makes of another: one each, since backends keep compiled kernels by definition. */
export function derived(
  known: WeakMap<ErasedDefinition, ErasedDefinition>,
  inner: ErasedDefinition,
  derive: (inner: ErasedDefinition) => ErasedDefinition,
): ErasedDefinition {
  let definition = known.get(inner);
  if (definition === undefined) known.set(inner, (definition = derive(inner)));
  return definition;
}

/**
 * The names that a combinator adds must not be there: a slot of the rule's own would be overwritten.
 *
 * @throws OptimError `invalid-rule` where the rule has the hyperparameter, or in any structure a slot of one of these names
 */
export function refuseTaken(
  who: string,
  inner: ErasedDefinition,
  hyperparameter: string,
  slots: readonly string[],
): void {
  if (Object.hasOwn(inner.hyperparameters, hyperparameter)) {
    refuse("invalid-rule", who, `a rule without ${hyperparameter}`, inner.name, {
      hint: `A rule takes ${who} once`,
    });
  }
  const known = allSlots(inner, structureOf(inner, inner.hyperparameters));
  const taken = slots.find((slot) => known.slots.has(slot) || known.scalarSlots.has(slot));
  if (taken !== undefined) {
    refuse("invalid-rule", who, `a rule without a slot ${taken}`, inner.name, {
      hint: `${who} adds a slot of this name: rename the rule's slot`,
    });
  }
}

/** Erased expressions, as the operations take them. */
export const asTensor = (expression: unknown): Tensor => expression as Tensor;
export const asScalar = (expression: unknown): Scalar => expression as Scalar;
/** And back. */
export const erase = (expression: Tensor | Scalar): Expression => expression as unknown as Expression;
