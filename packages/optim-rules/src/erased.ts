import { refuse } from "@mm/optim-core/backend";
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

/** @throws OptimError `invalid-rule` where the rule has a hyperparameter of this name already */
export function refuseTwice(who: string, inner: ErasedDefinition, hyperparameter: string): void {
  if (!Object.hasOwn(inner.hyperparameters, hyperparameter)) return;
  refuse("invalid-rule", who, `a rule without ${hyperparameter}`, inner.name, {
    hint: `A rule takes ${who} once`,
  });
}

/** Erased expressions, as the operations take them. */
export const asTensor = (expression: unknown): Tensor => expression as Tensor;
export const asScalar = (expression: unknown): Scalar => expression as Scalar;
/** And back. */
export const erase = (expression: Tensor | Scalar): Expression => expression as unknown as Expression;
