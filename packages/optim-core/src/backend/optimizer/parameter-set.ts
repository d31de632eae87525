import { refuse } from "../../errors.ts";
import type { BaseHyperparameters } from "../../hyperparameters.ts";
import type { ParameterInfo, ParametersInput, ParamGroup } from "../../optimizer.ts";
import type { SlotStorage } from "../../options.ts";
import type { UpdateRule } from "../../rule/define.ts";
import type { StateEngine, StepItem } from "../engine.ts";
import { groupLabel, HyperparameterGroup, liveGroup } from "../groups.ts";
import type { NamedParameter, Parameter } from "../parameter.ts";
import { checkStoredSlots, withSlotStorage } from "../program/slot-storage.ts";
import type { GradientRewrite, Program } from "../program/program.ts";
import { acceptStructure, requireOperations } from "./accept.ts";
import { collectParameters } from "./collect-parameters.ts";
import type { SharedSlots } from "./shared-slots.ts";
import { ensureSlots } from "./slots.ts";

/** The parameters of an optimizer, their groups, and what a step needs of each. */
export class ParameterSet<P, V, S> {
  readonly parameters: Parameter<P, V, S>[] = [];
  readonly groups: HyperparameterGroup[] = [];
  /** The groups as callers hold them. */
  readonly paramGroups: ParamGroup<BaseHyperparameters>[] = [];
  readonly infos: ParameterInfo[] = [];
  /** With several groups: settings that no parameter uses. */
  base: HyperparameterGroup | undefined;
  baseParamSettings: ParamGroup<BaseHyperparameters> | undefined;
  readonly #who: string;
  readonly #engine: StateEngine<P, V, S>;
  readonly #rule: UpdateRule;
  readonly #byName = new Map<string, Parameter<P, V, S>>();
  readonly #items = new Map<Parameter<P, V, S>, CachedItem<P, V, S>>();
  /** Programs that the engine has all operations of. */
  readonly #known = new WeakSet<Program>();
  /** Where each group, name and identity was written. */
  #places = new Map<unknown, string>();
  /** Absent where no rule has shared slots, and after a load. */
  #shared: SharedSlots<P, V, S> | undefined;
  /** Whether one of the parameters has a master. */
  #masters = false;

  readonly #storage: SlotStorage | undefined;

  /** @param who the function that the caller called, for messages */
  constructor(who: string, engine: StateEngine<P, V, S>, rule: UpdateRule, storage?: SlotStorage) {
    this.#who = who;
    this.#engine = engine;
    this.#rule = rule;
    this.#storage = storage;
  }

  /** Adds groups, or nothing where it throws. */
  add(input: ParametersInput<P, BaseHyperparameters>, call: string): void {
    const { capabilities, admit } = this.#engine;
    // On a copy, so that a group whose options are refused leaves no names behind.
    const places = new Map(this.#places);
    const { length } = this.groups;
    const collected = collectParameters(input, this.#engine, this.#who, this.#rule, length, places);
    const count = length + collected.length;
    if (!capabilities.groups && count > 1) {
      refuse("unsupported", `${call}: ${this.#rule.name}`, "one parameter group", count);
    }
    const members = collected.flatMap((group) => group.parameters);
    const masters = this.#masters;
    this.#masters ||= members.some(({ master }) => master);
    try {
      const added = collected.map(({ name, rule, options, parameters }) => ({
        group: this.#createGroup(rule, name, options, `${this.#who}: ${groupLabel(name)}`),
        parameters,
      }));
      if (length === 0 && this.#storage !== undefined)
        checkStoredSlots(
          this.#who,
          this.#storage,
          added.map(({ group }) => group.everySlot),
        );
      const base =
        count > 1 && this.base === undefined
          ? this.#createGroup(this.#rule, "base", {}, this.#who)
          : this.base;
      const admitted = added.flatMap(({ group, parameters }) =>
        parameters.map((parameter) => ({ ...parameter, group })),
      );
      for (const { group, view } of admitted) this.#engine.reserve?.(group.program(plain, view), view);
      admit?.call(this.#engine, admitted, call);
      this.#places = places;
      for (const { group, parameters } of added) this.#take(group, parameters);
      if (base !== undefined && this.base === undefined) {
        this.base = base;
        this.baseParamSettings = liveGroup<BaseHyperparameters>(base);
      }
    } catch (error) {
      this.#masters = masters;
      throw error;
    }
  }

  /** @throws OptimError `unknown-parameter` */
  named(name: string, where: string): Parameter<P, V, S> {
    return (
      this.#byName.get(name) ??
      refuse("unknown-parameter", where, `one of ${[...this.#byName.keys()].join(", ")}`, name)
    );
  }

  /** The name of a group's rule, where it is not the optimizer's. */
  ownRuleOf({ rule: { name } }: HyperparameterGroup): string | undefined {
    return name === this.#rule.name ? undefined : name;
  }

  isFrozen(parameter: Parameter<P, V, S>): boolean {
    return parameter.frozen || this.#engine.isFrozen?.(parameter.value) === true;
  }

  get unfrozen(): readonly Parameter<P, V, S>[] {
    return this.parameters.filter((parameter) => !this.isFrozen(parameter));
  }

  /** @throws OptimError `unknown-parameter`, `invalid-option`; nothing has changed then */
  setFrozen(names: readonly string[], frozen: boolean, where: string): void {
    const given: unknown = names;
    if (!Array.isArray(given)) refuse("invalid-option", where, "an array of names", given);
    for (const parameter of names.map((name) => this.named(name, where))) parameter.frozen = frozen;
  }

  /** The parameters that take part in a step, with their slots made. */
  stepItems(rewrite: GradientRewrite): readonly StepItem<P, V, S>[] {
    const items = this.parameters
      .filter((parameter) => parameter.pending && !this.isFrozen(parameter))
      .map((parameter) => this.#item(parameter, rewrite));
    for (const { everySlot } of this.groups) {
      if (everySlot.sharing)
        this.#shared ??= new (everySlot.sharing as typeof SharedSlots)(this.#engine, this.parameters);
    }
    this.#shared?.spread(items, this.groups);
    return items;
  }

  /** A scalar slot: of a shared one the number of now. */
  scalarSlot(parameter: Parameter<P, V, S>, slot: string): S {
    return this.#shared?.read(parameter, slot) ?? (parameter.scalarSlots.get(slot) as S);
  }

  /** Forgets what steps were prepared with: slots were replaced. */
  forgetItems(): void {
    this.#items.clear();
    this.#shared = undefined;
  }

  #createGroup(rule: UpdateRule, name: string, options: object, where: string): HyperparameterGroup {
    const definition = withSlotStorage(rule.definition, this.#storage);
    const stored = definition === rule.definition ? rule : { ...rule, definition };
    return new HyperparameterGroup(
      stored,
      name,
      options,
      (structure) => acceptStructure(this.#who, this.#engine, stored, structure, this.#masters),
      where,
    );
  }

  #take(group: HyperparameterGroup, members: readonly NamedParameter<P>[]): void {
    for (const member of members) {
      const { name, shape } = member;
      const parameter: Parameter<P, V, S> = {
        ...member,
        group,
        frozen: false,
        accumulator: undefined,
        pending: false,
        step: this.#engine.scalar(0),
        stepped: false,
        slots: new Map(),
        scalarSlots: new Map(),
      };
      group.params.push(name);
      this.parameters.push(parameter);
      this.#byName.set(name, parameter);
      const rule = this.ownRuleOf(group);
      const info = { name, shape, group: group.name, ...(rule !== undefined && { rule }) };
      this.infos.push(Object.defineProperty(info, "slotBytes", { get: () => slotBytes(parameter) }));
    }
    this.groups.push(group);
    this.paramGroups.push(liveGroup<BaseHyperparameters>(group));
  }

  #item(parameter: Parameter<P, V, S>, rewrite: GradientRewrite): StepItem<P, V, S> {
    const { group } = parameter;
    const known = this.#items.get(parameter);
    if (
      known?.version === group.version &&
      known.clipValue === rewrite.clipValue &&
      known.zeroNonFinite === rewrite.zeroNonFinite &&
      known.clipNorm === rewrite.clipNorm &&
      known.clipUnits === rewrite.clipUnits
    ) {
      return known;
    }
    const program = group.program(rewrite, parameter.view);
    if (!this.#known.has(program)) {
      // With what clipping adds to it.
      requireOperations(`${this.#who}: ${group.rule.name} with clipGrad`, this.#engine, program);
      this.#known.add(program);
    }
    this.#engine.prepareProgram?.(program, parameter.master === true);
    this.#engine.reserve?.(program, parameter.view);
    ensureSlots(this.#engine, parameter);
    const slots = program.slots.map((slot) => parameter.slots.get(slot) as V);
    const made = { parameter, program, slots, version: group.version, ...rewrite };
    this.#items.set(parameter, made);
    return made;
  }
}

/** The bytes of the slots that a parameter has in its group's present structure, made or not. */
function slotBytes<P, V, S>({ group, view, length, master }: Parameter<P, V, S>): number {
  const places = [...group.initialSlots(view).slots.keys()].map((slot) => group.slotPlaces(slot, view));
  return 4 * places.reduce((sum, each) => sum + each, master === true ? length : 0);
}

const plain: GradientRewrite = { clipValue: false, zeroNonFinite: false };

/** An item with what it was made for. */
interface CachedItem<P, V, S> extends StepItem<P, V, S>, GradientRewrite {
  /** That of the group's values. */
  readonly version: number;
}
