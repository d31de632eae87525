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
  /** By rule, the tensors whose copies are of now. Absent after a load, which brings the same number to all. */
  readonly #current = new Map<ErasedDefinition, ReadonlySet<Parameter<P, V, S>>>();

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
   * Before a step: gives the tensors that take part the numbers of now.
   *
   * @throws OptimError `invalid-hyperparameter` where groups of a rule differ in what its shared slots read; nothing has changed then
   */
  spread(items: readonly StepItem<P, V, S>[], groups: readonly HyperparameterGroup[]): void {
    const byRule = new Map<ErasedDefinition, StepItem<P, V, S>[]>();
    for (const item of items) {
      const { rule, everySlot } = item.parameter.group;
      if (everySlot.shared.size > 0) memo(byRule, rule.definition, () => []).push(item);
    }
    for (const members of byRule.values()) requireSame(members, groups);
    for (const [definition, members] of byRule) {
      const current = this.#current.get(definition);
      for (const { parameter, program } of members) {
        if (current?.has(parameter) !== true) this.#renew(parameter, program);
      }
      this.#current.set(definition, new Set(members.map(({ parameter }) => parameter)));
    }
  }

  /** The number of now of a shared slot; `undefined` where no tensor has it, or where the slot is none. */
  read({ group }: Parameter<P, V, S>, slot: string): S | undefined {
    if (!group.everySlot.shared.has(slot)) return undefined;
    const { definition } = group.rule;
    const all = this.#parameters;
    for (const { group: other, scalarSlots } of this.#current.get(definition) ?? all) {
      if (other.rule.definition === definition && scalarSlots.has(slot)) return scalarSlots.get(slot);
    }
    return undefined;
  }

  #renew(parameter: Parameter<P, V, S>, { scalarSlots }: Program): void {
    const initial = parameter.group.initialSlots(parameter.view).scalarSlots;
    for (const slot of scalarSlots) {
      if (!parameter.group.everySlot.shared.has(slot)) continue;
      const now = this.read(parameter, slot) ?? this.#engine.scalar(initial.get(slot) as number);
      parameter.scalarSlots.set(slot, now);
    }
  }
}

/** The groups of a rule must agree on what its shared slots read: each of their tensors computes them. */
function requireSame<P, V, S>(
  members: readonly StepItem<P, V, S>[],
  groups: readonly HyperparameterGroup[],
): void {
  const { rule, everySlot } = (members[0] as StepItem<P, V, S>).parameter.group;
  const [first, ...others] = groups.filter((group) => group.rule.definition === rule.definition);
  if (first === undefined || others.length === 0) return;
  const programs = new Set(members.map(({ program }) => program));
  const names = [...programs].flatMap((program) =>
    memo(inputs, program, () => inputsOf(program, everySlot.shared)),
  );
  for (const group of others) {
    for (const name of names) {
      const [expected, received] = [String(first.values[name]), String(group.values[name])];
      if (expected === received) continue;
      const where = `step: group ${JSON.stringify(group.name)}.${name}`;
      const why = `every group shares ${[...everySlot.shared].join(", ")} of ${rule.name}`;
      const words = `${expected}, as group ${JSON.stringify(first.name)} has: ${why}`;
      refuse("invalid-hyperparameter", where, words, received);
    }
  }
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
