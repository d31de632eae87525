import { refuse } from "../../errors.ts";
import type { ErasedDefinition } from "../../rule/define.ts";
import type { Expression } from "../../rule/expression.ts";
import type { StateEngine, StepItem } from "../engine.ts";
import type { HyperparameterGroup } from "../groups.ts";
import { memo } from "../memo.ts";
import type { Parameter } from "../parameter.ts";
import { operandsOf, type Program } from "../program/program.ts";

/**
 * Keeps the shared slots of rules one number for all tensors. Every tensor has a copy, as of any scalar slot, and all that take a step compute the
 * same; one that did not take the last step, or joins, takes over the copy of one that did. `shared()` of the rule language brings this class along,
 * so that a bundle without shared slots has none of it.
 */
export class SharedSlots<P, V, S> {
  readonly #engine: Pick<StateEngine<P, V, S>, "scalar">;
  readonly #parameters: readonly Parameter<P, V, S>[];
  readonly #families = new Map<ErasedDefinition, Family<P, V, S>>();
  /** The step that each tensor took last, counted here. */
  readonly #took = new Map<Parameter<P, V, S>, number>();
  #step = 0;

  constructor(engine: Pick<StateEngine<P, V, S>, "scalar">, parameters: readonly Parameter<P, V, S>[]) {
    this.#engine = engine;
    this.#parameters = parameters;
  }

  /** The first thing in the next value of a shared slot that is of one tensor alone: what is not in a sum over all of them. */
  static ofOneTensor(
    { op, name, args }: Expression,
    isShared: (slot: string) => boolean,
  ): string | undefined {
    if (op === "total") return undefined;
    if (op === "scalarSlot") return isShared(name) ? undefined : name;
    if (args.length === 0) return op === "const" || op === "hyper" ? undefined : op;
    for (const arg of args) {
      const found = arg.elementwise ? op : SharedSlots.ofOneTensor(arg, isShared);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /**
   * Before a step: gives the tensors that take part the numbers of now. Allocates nothing, but for a tensor or a program that is new.
   *
   * @throws OptimError `invalid-hyperparameter` where groups of a rule differ in what its shared slots read; nothing has changed then
   */
  spread(items: readonly StepItem<P, V, S>[], groups: readonly HyperparameterGroup[]): void {
    for (const item of items) {
      const family = this.#familyOf(item.parameter.group);
      if (family !== undefined) requireSame(family, item, groups);
    }
    for (const { parameter, program } of items) {
      const family = this.#familyOf(parameter.group);
      if (family !== undefined && !this.#isCurrent(parameter, family)) this.#renew(parameter, program);
    }
    this.#step += 1;
    for (const { parameter } of items) {
      const family = this.#familyOf(parameter.group);
      if (family === undefined) continue;
      if (family.step !== this.#step) family.leader = parameter;
      family.step = this.#step;
      this.#took.set(parameter, this.#step);
    }
  }

  /** The number of now of a shared slot; `undefined` where no tensor has it, or where the slot is none. */
  read({ group }: Parameter<P, V, S>, slot: string): S | undefined {
    if (!group.everySlot.shared.has(slot)) return undefined;
    const { definition } = group.rule;
    const family = this.#familyOf(group);
    const first = family?.leader?.scalarSlots.get(slot);
    if (first !== undefined) return first;
    // The slot may be one of another structure.
    for (const parameter of this.#parameters) {
      if (parameter.group.rule.definition !== definition || !parameter.scalarSlots.has(slot)) continue;
      if (family?.leader === undefined || this.#isCurrent(parameter, family))
        return parameter.scalarSlots.get(slot);
    }
    return undefined;
  }

  #isCurrent(parameter: Parameter<P, V, S>, family: Family<P, V, S>): boolean {
    return family.leader !== undefined && this.#took.get(parameter) === family.step;
  }

  /** The tensors of a group's rule; nothing where it has no shared slots. */
  #familyOf({ rule, everySlot }: HyperparameterGroup): Family<P, V, S> | undefined {
    if (everySlot.shared.size === 0) return undefined;
    return memo(this.#families, rule.definition, newFamily<P, V, S>);
  }

  #renew(parameter: Parameter<P, V, S>, { scalarSlots }: Program): void {
    const { group, view } = parameter;
    for (const slot of scalarSlots) {
      if (!group.everySlot.shared.has(slot)) continue;
      const now =
        this.read(parameter, slot) ??
        this.#engine.scalar(group.initialSlots(view).scalarSlots.get(slot) as number);
      parameter.scalarSlots.set(slot, now);
    }
  }
}

/** The tensors of a rule with shared slots. */
interface Family<P, V, S> {
  /** The first tensor of the last step. Absent before one, and after a load, which brings the same number to all. */
  leader: Parameter<P, V, S> | undefined;
  /** The last step. */
  step: number;
  /** How many assignments its groups had seen when they agreed on what a program reads. */
  readonly agreed: Map<Program, number>;
}

const newFamily = <P, V, S>(): Family<P, V, S> => ({ leader: undefined, step: 0, agreed: new Map() });

/** The groups of a rule must agree on what its shared slots read: each of their tensors computes them. */
function requireSame<P, V, S>(
  { agreed }: Family<P, V, S>,
  { parameter, program }: StepItem<P, V, S>,
  groups: readonly HyperparameterGroup[],
): void {
  const { rule, everySlot } = parameter.group;
  let first: HyperparameterGroup | undefined;
  // Groups are only ever added, and versions only ever grow.
  let version = 0;
  for (const group of groups) {
    if (group.rule.definition === rule.definition) version += 1 + group.version;
  }
  if (agreed.get(program) === version) return;
  const names = memo(inputs, program, () => inputsOf(program, everySlot.shared));
  for (const group of groups) {
    if (group.rule.definition !== rule.definition) continue;
    first ??= group;
    for (const name of names) {
      const [expected, received] = [String(first.values[name]), String(group.values[name])];
      if (expected === received) continue;
      const where = `step: group ${JSON.stringify(group.name)}.${name}`;
      const why = `every group shares ${[...everySlot.shared].join(", ")} of ${rule.name}`;
      const words = `${expected}, as group ${JSON.stringify(first.name)} has: ${why}`;
      refuse("invalid-hyperparameter", where, words, received);
    }
  }
  agreed.set(program, version);
}

const inputs = /* @__PURE__ */ new WeakMap<Program, readonly string[]>();

/** The hyperparameters that shared slots depend on, but for those of a sum over tensors. */
function inputsOf(
  { scalars, scalarSlots, scalarOutputs }: Program,
  shared: ReadonlySet<string>,
): readonly string[] {
  const found = new Set<string>();
  const visit = (register: number): void => {
    const instruction = scalars[register] as Program["scalars"][number];
    if (instruction.op === "hyper") found.add(instruction.name);
    if (instruction.op !== "total") operandsOf(instruction).forEach(visit);
  };
  for (const [index, name] of scalarSlots.entries()) {
    if (shared.has(name)) visit(scalarOutputs[index] as number);
  }
  return [...found];
}
