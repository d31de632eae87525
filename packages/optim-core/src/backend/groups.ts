import { OptimError } from "../errors.ts";
import {
  type BaseHyperparameters,
  type HyperparameterRecord,
  hyperparameterEntries,
} from "../hyperparameters.ts";
import type { ParamGroup } from "../optimizer.ts";
import { type ErasedDefinition, type Flags, resolveHyperparameters } from "../rule/define.ts";
import { memo } from "./memo.ts";
import { type GradientRewrite, type Program, structureOf, traceRule } from "./trace.ts";

/** The hyperparameters of one group: what stands behind a live `ParamGroup`. */
export class HyperparameterGroup {
  readonly name: string;
  readonly params: string[] = [];
  readonly #definition: ErasedDefinition;
  readonly #accept: (structure: Flags) => void;
  #values: HyperparameterRecord;
  #structure: Flags;
  readonly #programs = new Map<string, Program>();
  /** Counts assignments: what was computed from the values is stale when it differs. */
  version = 0;

  /** `accept` throws where the backend cannot run a structure; it runs before a value that leads to it is taken. */
  constructor(
    definition: ErasedDefinition,
    name: string,
    base: HyperparameterRecord,
    options: object,
    accept: (structure: Flags) => void,
    who: string,
  ) {
    this.name = name;
    this.#definition = definition;
    this.#accept = accept;
    this.#values = resolveHyperparameters(definition, base, options, who);
    this.#structure = structureOf(definition, this.#values);
    accept(this.#structure);
  }

  get values(): HyperparameterRecord {
    return this.#values;
  }

  get structure(): Flags {
    return this.#structure;
  }

  /** @throws OptimError `invalid-hyperparameter`, `unknown-option`; nothing has changed then */
  assign(values: object): void {
    const next = resolveHyperparameters(
      this.#definition,
      this.#values,
      values,
      `group ${JSON.stringify(this.name)}`,
    );
    const structure = structureOf(this.#definition, next);
    this.#accept(structure);
    this.#values = next;
    this.#structure = structure;
    this.#programs.clear();
    this.version += 1;
  }

  /** The same checks as `assign`, without taking the values. */
  check(values: object): HyperparameterRecord {
    const next = resolveHyperparameters(
      this.#definition,
      this.#values,
      values,
      `group ${JSON.stringify(this.name)}`,
    );
    this.#accept(structureOf(this.#definition, next));
    return next;
  }

  program(rewrite: GradientRewrite): Program {
    const key = `${rewrite.clipValue} ${rewrite.zeroNonFinite}`;
    return memo(this.#programs, key, () => traceRule(this.#definition, this.#structure, rewrite));
  }

  /** The slots with their initial values: of the current structure, or of the one that other values would lead to. */
  initialSlots(values: HyperparameterRecord = this.#values): {
    readonly slots: ReadonlyMap<string, number>;
    readonly scalarSlots: ReadonlyMap<string, number>;
  } {
    const structure = values === this.#values ? this.#structure : structureOf(this.#definition, values);
    const slots = Object.entries(this.#definition.slots?.(structure) ?? {}).map(
      ([name, initial]) => [name, typeof initial === "number" ? initial : initial(values)] as const,
    );
    return {
      slots: new Map(slots),
      scalarSlots: new Map(Object.entries(this.#definition.scalarSlots?.(values, structure) ?? {})),
    };
  }
}

/** The object that callers hold: hyperparameters as accessors on a group. */
export function liveGroup<H extends BaseHyperparameters>(group: HyperparameterGroup): ParamGroup<H> {
  const live = { name: group.name, params: group.params };
  Object.defineProperty(live, "name", { value: group.name, enumerable: true, writable: false });
  Object.defineProperty(live, "params", { get: () => Object.freeze([...group.params]), enumerable: true });
  for (const name of Object.keys(group.values)) {
    Object.defineProperty(live, name, {
      get: () => group.values[name],
      set(value: unknown) {
        if (value === undefined) {
          throw new OptimError("invalid-hyperparameter", `group ${JSON.stringify(group.name)}: ${name}`, {
            expected: "a value",
            received: value,
          });
        }
        group.assign({ [name]: value });
      },
      enumerable: true,
    });
  }
  return Object.preventExtensions(live) as unknown as ParamGroup<H>;
}

/** A copy of a group's hyperparameters, tuples included. */
export function copyHyperparameters(values: object): HyperparameterRecord {
  return Object.fromEntries(
    Object.entries(hyperparameterEntries(values)).map(([name, value]) => [
      name,
      typeof value === "object" ? [...value] : value,
    ]),
  );
}
