import { refuse } from "../errors.ts";
import {
  type BaseHyperparameters,
  type HyperparameterRecord,
  hyperparameterEntries,
  type HyperparameterValue,
} from "../hyperparameters.ts";
import { aBoolean, aFinite, checkSchema, isFinite32, type Schema } from "../schema.ts";
import { checkDefinition } from "./check-definition.ts";
import type { Expression, Scalar, Tensor } from "./expression.ts";
import type { InitialValue, NextSlotValues, SharedSlot, SlotDeclarations, SlotValues } from "./slots.ts";

/** Plain booleans that a rule may branch on. */
export type Flags = { readonly [name: string]: boolean };

/** The booleans among the hyperparameters, and those that `structure` derives. */
export type Structure<H, D> = {
  readonly [K in keyof H as H[K] extends boolean ? K : never]: boolean;
} & Readonly<D> & {
    /** Whether the tensor has two dimensions or more. Only for rules with `shapes`. */
    readonly matrix?: boolean;
  };

/** The numeric hyperparameters as scalars of the trace; a tuple stays a tuple. */
export type ScalarHyperparameters<H> = {
  readonly [K in keyof H as H[K] extends boolean ? never : K]: H[K] extends readonly unknown[]
    ? ScalarTuple<H[K]>
    : Scalar;
};

// Only a mapped type over a type parameter keeps a tuple a tuple.
type ScalarTuple<T extends readonly unknown[]> = { readonly [I in keyof T]: Scalar };

/** The inputs of `update`: the parameter, its gradient (unscaled and clipped), its step count from 1, and every slot by name. */
export type UpdateInputs<Slots, ScalarSlot extends string> = {
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly step: Scalar;
  /** The number of elements of the parameter. */
  readonly size: Scalar;
  /** Of a rule with `shapes`: the outputs of a layer, and the rest. A tensor of less than two dimensions is one row. */
  readonly rows: Scalar;
  readonly cols: Scalar;
} & SlotValues<Slots> & { readonly [K in ScalarSlot]: Scalar };

/**
 * The result of `update`: the next parameter and the next value of every slot that this structure has. A scalar slot may become a plain
 * number.
 */
export type UpdateOutputs<Slots, ScalarSlot extends string> = {
  readonly param: Tensor;
} & NextSlotValues<Slots> & { readonly [K in ScalarSlot]?: Scalar | number };

/** The inputs of `evaluate`: the parameter as training has left it, and every slot by name. */
export type EvaluationInputs<Slots, ScalarSlot extends string> = {
  readonly param: Tensor;
} & SlotValues<Slots> & { readonly [K in ScalarSlot]: Scalar };

export interface UpdateRuleDefinition<
  H extends BaseHyperparameters,
  D extends Flags,
  Slots extends SlotDeclarations<H>,
  ScalarSlot extends string,
> {
  /** PyTorch's class name where there is one (`"AdamW"`). Saved with the state, and compared when it is loaded. */
  readonly name: string;
  /** Every hyperparameter with its default. Booleans become part of the structure, numbers stay live inputs. */
  readonly hyperparameters: H;
  /** Why these values are refused, in words, or `undefined`. Runs at construction and at every assignment to a group. */
  readonly check?: (hyperparameters: Readonly<H>) => string | undefined;
  /** Further booleans to branch on, derived from the values: `{ decays: weightDecay !== 0 }`. Recomputed when a value is assigned. */
  readonly structure?: (hyperparameters: Readonly<H>) => D;
  /**
   * The demand of the rule on the shape of a parameter, which it then sees as a matrix: its outputs by all else. `"matrix"`: a parameter of less
   * than two dimensions is refused by its name. `"either"`: `structure.matrix` says which it is. Default: shapes do not matter.
   */
  readonly shapes?: "matrix" | "either";
  /** State with one float32 per element, per row or per column, by name, with its initial value. Depends on the structure alone. */
  readonly slots?: (structure: Structure<H, D>) => Slots & SlotDeclarations<H>;
  /** State with one number per parameter tensor, or with `shared(…)` one for all of them. */
  readonly scalarSlots?: (
    hyperparameters: Readonly<H>,
    structure: Structure<H, D>,
  ) => { readonly [K in ScalarSlot]?: number | SharedSlot };
  /**
   * The rule, as expressions. Called once per structure, not once per step: branch on `structure`, never on a value. A key missing
   * from what it returns, or one too many, is an error at trace time.
   */
  readonly update: (
    x: UpdateInputs<Slots, ScalarSlot>,
    hyperparameters: ScalarHyperparameters<H>,
    structure: Structure<H, D>,
  ) => UpdateOutputs<Slots, ScalarSlot>;
  /**
   * The evaluation point: what stands in the parameter while the model is used (`wrapper.evaluating`), where that is not what is trained.
   * An average, say. As expressions, once per structure. Leave it out where the model is used as it is trained.
   */
  readonly evaluate?: (
    x: EvaluationInputs<Slots, ScalarSlot>,
    hyperparameters: ScalarHyperparameters<H>,
    structure: Structure<H, D>,
  ) => Tensor;
}

/** A definition whose types were checked and are now forgotten: what backends trace. */
export interface ErasedDefinition {
  readonly name: string;
  /**
   * Of a combinator: the definition that it stands around, whose slots are among its own. A run of that rule may be joined (`strict: false`):
   * its state is taken whole, and the combinator's slots begin then.
   */
  readonly inner?: ErasedDefinition;
  readonly hyperparameters: HyperparameterRecord;
  readonly check?: (hyperparameters: HyperparameterRecord) => string | undefined;
  readonly structure?: (hyperparameters: HyperparameterRecord) => Flags;
  readonly shapes?: "matrix" | "either";
  readonly slots?: (structure: Flags) => {
    readonly [slot: string]: InitialValue<HyperparameterRecord>;
  };
  readonly scalarSlots?: (
    hyperparameters: HyperparameterRecord,
    structure: Flags,
  ) => { readonly [slot: string]: number | SharedSlot };
  readonly update: (
    x: { readonly [name: string]: Expression },
    hyperparameters: { readonly [name: string]: Expression | readonly Expression[] },
    structure: Flags,
  ) => { readonly [name: string]: Expression | number | undefined };
  readonly evaluate?: (
    x: { readonly [name: string]: Expression },
    hyperparameters: { readonly [name: string]: Expression | readonly Expression[] },
    structure: Flags,
  ) => Expression;
}

/** An update rule with its hyperparameters chosen: `adamw({ lr: 2e-4 })`. Immutable; any number of optimizers may share one. */
export interface UpdateRule<out H extends BaseHyperparameters = BaseHyperparameters> {
  readonly kind: "update-rule";
  readonly name: string;
  /** Every hyperparameter, defaults filled in. Frozen. */
  readonly hyperparameters: Readonly<H>;
  readonly definition: ErasedDefinition;
}

/**
 * Makes a rule from the hyperparameters that differ from the defaults.
 *
 * @throws OptimError `unknown-option` for a name that the rule does not have, `invalid-hyperparameter` for a value it refuses.
 */
export type UpdateRuleFactory<H extends BaseHyperparameters> = (
  hyperparameters?: Partial<Readonly<H>>,
) => UpdateRule<H>;

/** `{ lr: number; betas: readonly [number, number] }` of `{ lr: 1e-3, betas: [0.9, 0.999] }`. */
export type Widened<Written> = {
  -readonly [K in keyof Written]: Written[K] extends boolean
    ? boolean
    : Written[K] extends number
      ? number
      : WidenedTuple<Written[K]>;
} extends infer H extends BaseHyperparameters
  ? H
  : never;

type WidenedTuple<T> = { readonly [I in keyof T]: number };

/** Refuses keys that `H` does not have. */
export type NoExtras<Written, H> = { readonly [K in Exclude<keyof Written, keyof H>]: never };

/**
 * Defines an update rule once, for every backend. The hyperparameters' type is that of the annotation where there is one (an exported
 * rule needs it for its declaration file), and otherwise read from their defaults. `structure` and the slots are asked for once, here, with
 * every combination of switches.
 *
 * @throws OptimError `invalid-rule` for a definition that no optimizer could be made of
 *
 * @example
 * ```ts
 * // Sign descent with momentum ("Signum", Bernstein et al., arXiv:1802.04434, algorithm 1).
 * export const signum: UpdateRuleFactory<SignumHyperparameters> = defineUpdateRule({
 *   name: "Signum",
 *   hyperparameters: { lr: 1e-3, momentum: 0.9 },
 *   slots: () => ({ momentumBuffer: 0 }),
 *   update({ param, grad, momentumBuffer }, { lr, momentum }) {
 *     const next = add(mul(momentum, momentumBuffer), mul(sub(1, momentum), grad));
 *     return { param: sub(param, mul(lr, sign(next))), momentumBuffer: next };
 *   },
 * });
 * ```
 */
export function defineUpdateRule<
  const Written extends BaseHyperparameters,
  D extends Flags = Record<never, boolean>,
  Slots extends SlotDeclarations<NoInfer<H>> = Record<never, never>,
  ScalarSlot extends string = never,
  H extends BaseHyperparameters = Widened<Written>,
>(
  definition: UpdateRuleDefinition<NoInfer<H>, D, Slots, ScalarSlot> & {
    readonly hyperparameters: Written & NoExtras<Written, NoInfer<H>>;
  },
): UpdateRuleFactory<H> {
  const erased = definition as unknown as ErasedDefinition;
  checkDefinition(erased);
  const { name, hyperparameters } = erased;
  const make = (chosen: Partial<Readonly<H>> = {}): UpdateRule<H> => {
    const given: unknown = chosen;
    if (typeof given === "number") {
      refuse("invalid-hyperparameter", name, "hyperparameters by name", given, {
        hint: `Write { lr: ${given} }`,
      });
    }
    const resolved = resolveHyperparameters(erased, hyperparameters, chosen, name);
    return {
      kind: "update-rule",
      name,
      hyperparameters: resolved as unknown as Readonly<H>,
      definition: erased,
    };
  };
  return make;
}

/** @throws OptimError `invalid-rule` for what is no rule */
export function requireRule(who: string, rule: unknown): void {
  if ((rule as Partial<UpdateRule> | null | undefined)?.kind === "update-rule") return;
  refuse("invalid-rule", `${who}: rule`, "an update rule such as adamw({ lr: 1e-3 })", rule);
}

/**
 * `base` with `chosen` laid over it, checked and frozen.
 *
 * @throws OptimError `unknown-option`, `invalid-hyperparameter`.
 */
export function resolveHyperparameters(
  definition: ErasedDefinition,
  base: HyperparameterRecord,
  chosen: object,
  who: string,
): HyperparameterRecord {
  const models = Object.entries(definition.hyperparameters);
  const fields = Object.fromEntries(models.map(([name, model]) => [`${name}?`, like(model)] as const));
  checkSchema("invalid-hyperparameter", who, chosen, { fields });
  const resolved: Record<string, HyperparameterValue> = { ...base };
  for (const [name, value] of Object.entries(hyperparameterEntries(chosen))) {
    if ((value as unknown) !== undefined) resolved[name] = value;
  }
  // Tuples too: the defaults of a definition are one object for all rules that are made with it.
  for (const [name, value] of Object.entries(resolved)) {
    if (typeof value === "object") resolved[name] = Object.freeze([...value]);
  }
  const refusal = definition.check?.(resolved);
  if (refusal !== undefined) {
    const given = Object.entries(chosen).map(([name, value]) => `${name}: ${String(value)}`);
    refuse("invalid-hyperparameter", who, refusal, given.join(", "));
  }
  return Object.freeze(resolved);
}

/** The check of a hyperparameter: as its default. */
function like(model: HyperparameterValue): Schema {
  if (typeof model === "number") return aFinite;
  if (typeof model === "boolean") return aBoolean;
  const { length } = model;
  return [
    (value: unknown) =>
      Array.isArray(value) && value.length === length && [...(value as unknown[])].every(isFinite32),
    `${length} finite numbers in an array`,
  ];
}
