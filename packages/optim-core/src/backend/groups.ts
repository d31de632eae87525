import {
  type BaseHyperparameters,
  hyperparameterEntries,
  type HyperparameterRecord,
} from "../hyperparameters.ts";
import type { ParamGroup } from "../optimizer.ts";
import {
  type ErasedDefinition,
  type Flags,
  resolveHyperparameters,
  type UpdateRule,
} from "../rule/define.ts";
import { allSlots, type SlotNames, structureOf, traceRule } from "./program/trace.ts";
import { placesFor } from "./program/bfloat16.ts";
import { inMemory, lengthAlong, type MatrixView } from "./program/extents.ts";
import type { GradientRewrite, Program } from "./program/program.ts";

export const groupLabel = (name: string): string => `group ${JSON.stringify(name)}`;

/** The hyperparameters of one group: what stands behind a live `ParamGroup`. */
export class HyperparameterGroup {
  readonly name: string;
  readonly rule: UpdateRule;
  readonly params: string[] = [];
  values: HyperparameterRecord;
  /** Counts assignments: what was computed from the values is stale when it differs. */
  version = 0;
  /** The slots that its parameters may have, whatever is assigned. */
  readonly everySlot: SlotNames;
  readonly #accept: (structure: Flags) => void;

  /**
   * @param options the hyperparameters that differ from the rule's
   * @param accept throws where the backend cannot run a structure; it runs before a value that leads to it is taken
   */
  constructor(
    rule: UpdateRule,
    name: string,
    options: object,
    accept: (structure: Flags) => void,
    who: string,
  ) {
    this.name = name;
    this.rule = rule;
    this.#accept = accept;
    this.values = hyperparameterEntries(rule.hyperparameters);
    this.values = this.check(options, who);
    this.everySlot = allSlots(rule.definition, this.structure);
  }

  get structure(): Flags {
    return structureOf(this.rule.definition, this.values);
  }

  /** Whether its rule has an evaluation point: its parameters then need one vector more, beside their slots, while it is evaluated. */
  get evaluates(): boolean {
    return this.rule.definition.evaluate !== undefined;
  }

  /** The values with others laid over them. @throws OptimError `invalid-hyperparameter`, `unknown-option`, and what `accept` throws */
  check(values: object, who: string = groupLabel(this.name)): HyperparameterRecord {
    const next = resolveHyperparameters(this.rule.definition, this.values, values, who);
    this.#accept(structureOf(this.rule.definition, next));
    return next;
  }

  /** Takes values. @throws as `check`, and nothing has changed then */
  assign(values: object): void {
    this.values = this.check(values);
    this.version += 1;
  }

  /** The structure for a tensor: of a rule that asks for shapes, with `matrix`. */
  structureFor(view: Pick<MatrixView, "matrix">, values: HyperparameterRecord = this.values): Flags {
    return structureOf(this.rule.definition, values, view);
  }

  program(rewrite: GradientRewrite, view: Pick<MatrixView, "matrix" | "transposed">): Program {
    const { definition } = this.rule;
    const byUnit = rewrite.clipUnits !== undefined;
    const transposed = (definition.shapes !== undefined || byUnit) && view.transposed;
    const whole = byUnit && view.matrix ? { ...rewrite, unitRows: true } : rewrite;
    return traceRule(definition, this.structureFor(view), whole, transposed);
  }

  /** The elements of a slot: of one per row or column, as many as there are. */
  slotLength(slot: string, view: MatrixView): number {
    return lengthAlong(view, inMemory(this.everySlot.axes.get(slot) ?? 3, view.transposed));
  }

  /** The places of float32 that its elements take. */
  slotPlaces(slot: string, view: MatrixView): number {
    const length = this.slotLength(slot, view);
    return this.everySlot.packed.has(slot) ? placesFor(length) : length;
  }

  /** The slots with their initial values: of the current structure, or of the one that other values would lead to. */
  initialSlots(
    view: Pick<MatrixView, "matrix">,
    values: HyperparameterRecord = this.values,
  ): {
    readonly slots: ReadonlyMap<string, number | "param">;
    readonly scalarSlots: ReadonlyMap<string, number>;
  } {
    const { slots, scalarSlots } = this.rule.definition;
    const structure = this.structureFor(view, values);
    return {
      slots: new Map(
        Object.entries(slots?.(structure) ?? {}).map(([name, declared]) => [
          name,
          initialOf(declared, values),
        ]),
      ),
      scalarSlots: new Map(
        Object.entries(scalarSlots?.(values, structure) ?? {}).map(([name, declared]) => [
          name,
          typeof declared === "object" ? declared.initial : declared,
        ]),
      ),
    };
  }
}

type Declared = ReturnType<NonNullable<ErasedDefinition["slots"]>>[string];

function initialOf(declared: Declared, values: HyperparameterRecord): number | "param" {
  if (typeof declared === "function") return declared(values);
  return typeof declared === "object" ? initialOf(declared.initial, values) : declared;
}

/** The object that callers hold: hyperparameters as accessors on a group. */
export function liveGroup<H extends BaseHyperparameters>(group: HyperparameterGroup): ParamGroup<H> {
  const live = {};
  const define = (name: string, accessors: { get: () => unknown; set?: (value: unknown) => void }): void => {
    Object.defineProperty(live, name, { ...accessors, enumerable: true });
  };
  define("name", { get: () => group.name });
  define("params", { get: () => Object.freeze([...group.params]) });
  for (const name of Object.keys(group.values)) {
    define(name, {
      get: () => group.values[name],
      // An undefined entry would be passed over.
      set: (value) => group.assign({ [name]: value ?? null }),
    });
  }
  return Object.preventExtensions(live) as ParamGroup<H>;
}

/** A copy of hyperparameters, tuples included. */
export function copyHyperparameters(values: HyperparameterRecord): HyperparameterRecord {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, typeof value === "object" ? [...value] : value]),
  );
}
