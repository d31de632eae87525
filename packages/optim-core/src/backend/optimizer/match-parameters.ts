import type { HyperparameterRecord } from "../../hyperparameters.ts";
import type { ErasedDefinition } from "../../rule/define.ts";
import type { OptimizerStateDict, ParameterState } from "../../state.ts";
import { groupLabel, type HyperparameterGroup } from "../groups.ts";
import { lengthOf, type Parameter } from "../parameter.ts";
import type { MatrixView } from "../program/extents.ts";
import { masterSlot, pendingGradient } from "../program/reserved.ts";
import { structureOf } from "../program/trace.ts";
import type { Differences } from "./differences.ts";

/** One matched parameter, ready to be installed. */
export interface StagedParameter<P, V, S> {
  readonly parameter: Parameter<P, V, S>;
  readonly step: number;
  readonly stepped: boolean;
  /** Private copies, by slot; the pending gradient is among them. */
  readonly data: ReadonlyMap<string, Float32Array>;
  readonly scalars: ReadonlyMap<string, number>;
  /** Vectors for slots that the parameter does not have yet. */
  readonly fresh: Map<string, V>;
}

/** Pairs parameters with those of a state, by name. */
export function matchParameters<P, V, S>(
  parameters: readonly Parameter<P, V, S>[],
  states: readonly ParameterState[],
  rename: (saved: string) => string,
  found: Differences,
): readonly (readonly [Parameter<P, V, S>, ParameterState])[] {
  const saved = new Map<string, ParameterState>();
  for (const state of states) {
    const name = rename(state.name);
    if (saved.has(name)) found.mismatched.push(`${name}: two saved parameters have this name after rename`);
    saved.set(name, state);
  }
  const pairs = parameters.flatMap((parameter) => {
    const state = saved.get(parameter.name);
    saved.delete(parameter.name);
    if (state === undefined) found.missing.push(parameter.name);
    return state === undefined ? [] : [[parameter, state] as const];
  });
  found.unexpected.push(...saved.keys());
  return pairs.filter(([{ name, shape }, state]) => fits(name, shape, state.shape, found));
}

/** Notes the groups whose parameters followed another rule, where either side names a rule of its own. */
export function compareRules<P, V, S>(
  pairs: readonly (readonly [Parameter<P, V, S>, ParameterState])[],
  { rule, groups }: OptimizerStateDict,
  ownRuleOf: (group: HyperparameterGroup) => string | undefined,
  found: Differences,
): void {
  const saved = new Map(groups.flatMap((group) => group.params.map((name) => [name, group.rule] as const)));
  const notes = new Map<string, readonly [saved: string, here: string]>();
  for (const [{ group }, { name }] of pairs) {
    const own = saved.get(name);
    const followed = own ?? rule;
    const isNamed = own !== undefined || ownRuleOf(group) !== undefined;
    if (isNamed && followed !== group.rule.name) {
      notes.set(`${groupLabel(group.name)}: rule`, [followed, group.rule.name]);
    }
  }
  for (const [what, sides] of notes) found.differs(what, ...sides);
}

/** Backends of flat arrays know no shapes: one dimension stands for any shape of as many elements. */
function fits(name: string, here: readonly number[], saved: readonly number[], found: Differences): boolean {
  if ((here.length === 1 || saved.length === 1) && lengthOf(here) === lengthOf(saved)) return true;
  return !found.differs(`${name}: shape`, `[${saved.join(", ")}]`, `[${here.join(", ")}]`);
}

/**
 * Copies what a parameter takes from its state. A step count comes with the slots that belong to it, or not at all: without its moments
 * Adam's bias correction would be that of another run.
 *
 * @param values the hyperparameters that its group will have
 */
export function stageParameter<P, V, S>(
  parameter: Parameter<P, V, S>,
  state: ParameterState,
  values: HyperparameterRecord | undefined,
  withPending: boolean,
  found: Differences,
): StagedParameter<P, V, S> {
  const { name, group, view } = parameter;
  const possible = group.everySlot;
  const { [masterSlot]: master, ...slots } = state.slots;
  /** Slots that are there in another length. */
  const unfit: string[] = [];
  const data = new Map<string, Float32Array>();
  const copy = (slot: string, tensor: Float32Array): void => {
    if (found.differs(`${name}.${slot}: length`, tensor.length, group.slotLength(slot, view)))
      unfit.push(slot);
    else data.set(slot, new Float32Array(tensor));
  };
  for (const [slot, tensor] of Object.entries(slots)) {
    if (possible.slots.has(slot)) copy(slot, tensor);
    else found.unexpected.push(`${name}.${slot}`);
  }
  const scalars = new Map<string, number>();
  for (const [slot, value] of Object.entries(state.scalarSlots)) {
    if (possible.scalarSlots.has(slot)) scalars.set(slot, value);
    else found.unexpected.push(`${name}.${slot}`);
  }
  const lacking = (definition: ErasedDefinition): readonly string[] =>
    slotNames(definition, values ?? group.values, view).filter(
      (slot) => !Object.hasOwn(slots, slot) && !Object.hasOwn(state.scalarSlots, slot),
    );
  let whole = unfit.length === 0;
  if (state.step > 0) {
    const { definition } = group.rule;
    const missing = lacking(definition);
    found.missing.push(...missing.map((slot) => `${name}.${slot}`));
    whole &&= missing.length === 0 || innerOf(definition).some((inner) => lacking(inner).length === 0);
  }
  if (!whole) {
    const left = [...(state.step > 0 ? ["step"] : []), ...data.keys(), ...scalars.keys()];
    found.unexpected.push(...left.map((slot) => `${name}.${slot}`));
    data.clear();
    scalars.clear();
  }
  // A parameter in float32 is its own master.
  if (master !== undefined && parameter.master === true) copy(masterSlot, master);
  const stepped = whole && state.step > 0;
  if (!stepped) {
    // The first step gives it what the parameter holds then.
    for (const [slot, begins] of group.initialSlots(view).slots) if (begins === "param") data.delete(slot);
  }
  if (withPending && state.gradient) copy(pendingGradient, state.gradient);
  return { parameter, step: whole ? state.step : 0, stepped, data, scalars, fresh: new Map() };
}

/** The slots that a rule has with these hyperparameters. */
function slotNames(
  definition: ErasedDefinition,
  values: HyperparameterRecord,
  view: MatrixView,
): readonly string[] {
  const structure = structureOf(definition, values, view);
  return [
    ...Object.keys(definition.slots?.(structure) ?? {}),
    ...Object.keys(definition.scalarSlots?.(values, structure) ?? {}),
  ];
}

/** The definition that another stands around, the one that this stands around, and so on. */
function innerOf({ inner }: ErasedDefinition): readonly ErasedDefinition[] {
  return inner === undefined ? [] : [inner, ...innerOf(inner)];
}
