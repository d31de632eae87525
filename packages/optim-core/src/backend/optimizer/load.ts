import { isOptimError, OptimError } from "../../errors.ts";
import type { HyperparameterRecord } from "../../hyperparameters.ts";
import type { UpdateRule } from "../../rule/define.ts";
import {
  anything,
  aNumber,
  aPositive,
  aString,
  aTensor,
  checkSchema,
  integerFrom,
  oneOf,
  type Schema,
} from "../../schema.ts";
import type {
  LoadOptions,
  LoadReport,
  OptimizerStateDict,
  ParameterState,
  PreparedLoad,
} from "../../state.ts";
import type { Engine } from "../engine.ts";
import { copyHyperparameters, groupLabel, type HyperparameterGroup } from "../groups.ts";
import { migrated, optimizerMigrations } from "../../migrate.ts";
import { ensureSlots } from "./collect-parameters.ts";
import { masterSlot, pendingGradient } from "../program/reserved.ts";
import { allSlots } from "../program/trace.ts";
import { lengthOf, type Parameter } from "../parameter.ts";

/** What the state functions see of an optimizer. */
export interface OptimizerInternals<P, V, S> {
  readonly rule: UpdateRule;
  readonly engine: StateEngine<P, V, S>;
  readonly parameters: Parameter<P, V, S>[];
  readonly groups: HyperparameterGroup[];
  base: HyperparameterGroup | undefined;
  /** The loss scale that pending gradients carry. */
  latched: S | undefined;
  disposed: boolean;
  loading: boolean;
  /** Counts what changes gradients, so that a write can tell that they are not those that were read. */
  gradientChanges: number;
}

/** The part of an engine that holds state. */
type StateEngine<P, V, S> = Pick<
  Engine<never, unknown, P, V, never, S>,
  | "allocate"
  | "release"
  | "write"
  | "read"
  | "scalar"
  | "readScalars"
  | "stages"
  | "readNative"
  | "prepareNative"
>;

/** The state as of the call: all reads are started before the first await. */
export async function saveOptimizerState<P, V, S>(
  { engine, rule, parameters, groups, base, latched }: OptimizerInternals<P, V, S>,
  withPending: boolean,
): Promise<OptimizerStateDict> {
  const vectors: V[] = [];
  const scalars: S[] = [];
  /** What a state holds, with the position of what is read for it. */
  const plans = parameters.map((parameter) => {
    if (parameter.stepped) ensureSlots(engine, parameter);
    const { name, shape, step, slots, scalarSlots, pending, accumulator } = parameter;
    return {
      name,
      shape: [...shape],
      step: scalars.push(step) - 1,
      slots: [...slots].map(([slot, vector]) => [slot, vectors.push(vector) - 1] as const),
      scalarSlots: [...scalarSlots].map(([slot, scalar]) => [slot, scalars.push(scalar) - 1] as const),
      gradient: withPending && pending ? vectors.push(accumulator as V) - 1 : undefined,
    };
  });
  const scale = withPending && latched !== undefined ? scalars.push(latched) - 1 : undefined;
  const groupStates = groups.map(({ name, params, values }) => ({
    name,
    params: [...params],
    hyperparameters: copyHyperparameters(values),
  }));
  const baseParamSettings = base && copyHyperparameters(base.values);

  const [tensors, numbers, { steps, skipped }, native] = await Promise.all([
    engine.read(vectors),
    engine.readScalars(scalars),
    engine.stages.readMetrics(),
    engine.readNative?.(),
  ]);
  return {
    format: "optim-optimizer",
    version: 1,
    rule: rule.name,
    groups: groupStates,
    ...(baseParamSettings && { baseParamSettings }),
    params: plans.map(({ step, slots, scalarSlots, gradient, ...plan }) => ({
      ...plan,
      step: numbers[step] as number,
      slots: Object.fromEntries(slots.map(([slot, index]) => [slot, tensors[index] as Float32Array])),
      scalarSlots: Object.fromEntries(scalarSlots.map(([slot, index]) => [slot, numbers[index] as number])),
      ...(gradient !== undefined && { gradient: tensors[gradient] as Float32Array }),
    })),
    ...(scale !== undefined && { pendingScale: numbers[scale] as number }),
    steps,
    skipped,
    ...(native && { native }),
  };
}

/** One matched parameter, ready to be installed. */
interface StagedParameter<P, V, S> {
  readonly parameter: Parameter<P, V, S>;
  readonly step: number;
  readonly stepped: boolean;
  /** Private copies, by slot. */
  readonly data: Map<string, Float32Array>;
  readonly scalars: Map<string, number>;
  /** Vectors for slots that the parameter does not have yet. */
  readonly fresh: Map<string, V>;
}

/** Checks and stages a state. Nothing of the optimizer changes before `commit()`. */
export function prepareOptimizerState<P, V, S>(
  optimizer: OptimizerInternals<P, V, S>,
  given: OptimizerStateDict,
  { strict = true, rename = (name) => name, restore = {} }: LoadOptions,
  committed: (() => void) | undefined,
): PreparedLoad {
  const { engine, rule, parameters, groups, base } = optimizer;
  const saved = migrated(given, optimizerMigrations);
  const { steps, skipped, pendingScale, native = {} } = Object(saved) as OptimizerStateDict;
  const who = "prepareLoad";
  if (optimizer.loading) {
    throw new OptimError("load-pending", who, { expected: "commit() or dispose() of the load before" });
  }
  checkSchema("invalid-state", "state", saved, stateSchema());
  const missing: string[] = [];
  const unexpected: string[] = [];
  const mismatched: string[] = [];
  const differs = (what: string, there: unknown, here: unknown): boolean => {
    if (there !== here) mismatched.push(`${what} ${String(there)} saved, ${String(here)} here`);
    return there !== here;
  };
  differs("rule:", saved.rule, rule.name);

  /** Pairs what is wanted with what was saved, by name. */
  const pair = <A, B>(
    wanted: readonly (readonly [name: string, item: A])[],
    found: Map<string, B>,
    visit: (name: string, item: A, match: B) => void,
  ): void => {
    for (const [name, item] of wanted) {
      const match = found.get(name);
      if (match === undefined) missing.push(name);
      else visit(name, item, match);
      found.delete(name);
    }
    for (const name of found.keys()) unexpected.push(name);
  };

  const values = new Map<HyperparameterGroup, HyperparameterRecord>();
  const check = (name: string, group: HyperparameterGroup, hyperparameters: HyperparameterRecord): void => {
    for (const wanted of Object.keys(group.values)) {
      if (!Object.hasOwn(hyperparameters, wanted)) missing.push(`${name}.${wanted}`);
    }
    try {
      values.set(group, group.check(hyperparameters, name));
    } catch (error) {
      mismatched.push((error as Error).message);
    }
  };
  if (restore.hyperparameters !== false) {
    const found = new Map(
      saved.groups.map(({ name, hyperparameters }) => [groupLabel(name), hyperparameters]),
    );
    differs("number of groups with names of their own:", saved.groups.length, found.size);
    pair(
      groups.map((group) => [groupLabel(group.name), group]),
      found,
      check,
    );
    if (base && saved.baseParamSettings) check("baseParamSettings", base, saved.baseParamSettings);
  }

  const withPending = restore.pending !== false && restore.counts !== false;
  const known = allSlots(rule.definition, (groups[0] as HyperparameterGroup).structure);
  const staged: StagedParameter<P, V, S>[] = [];
  const stage = (name: string, parameter: Parameter<P, V, S>, entry: ParameterState): void => {
    if (
      !fitsFlat(entry.shape, parameter.shape) &&
      differs(`${name}: shape`, `[${entry.shape.join(", ")}]`, `[${parameter.shape.join(", ")}]`)
    ) {
      return;
    }
    const data = new Map<string, Float32Array>();
    const scalars = new Map<string, number>();
    const copy = (slot: string, tensor: Float32Array): void => {
      if (!differs(`${name}.${slot}: length`, tensor.length, parameter.length))
        data.set(slot, tensor.slice());
    };
    const compare = <T>(
      found: { readonly [slot: string]: T },
      wanted: ReadonlyMap<string, number>,
      possible: ReadonlySet<string>,
      take: (slot: string, value: T) => void,
    ): void => {
      for (const [slot, value] of Object.entries(found)) {
        if (possible.has(slot)) take(slot, value);
        else unexpected.push(`${name}.${slot}`);
      }
      if (entry.step === 0) return;
      for (const slot of wanted.keys()) if (!Object.hasOwn(found, slot)) missing.push(`${name}.${slot}`);
    };
    const initial = parameter.group.initialSlots(values.get(parameter.group));
    const { [masterSlot]: master, ...slots } = entry.slots;
    compare(slots, initial.slots, known.slots, copy);
    // A parameter in float32 is its own master.
    if (master !== undefined && parameter.master === true) copy(masterSlot, master);
    compare(entry.scalarSlots, initial.scalarSlots, known.scalarSlots, (slot, value) =>
      scalars.set(slot, value),
    );
    const stepped = entry.step > 0 || data.size > 0;
    if (withPending && entry.gradient) copy(pendingGradient, entry.gradient);
    staged.push({ parameter, step: entry.step, stepped, data, scalars, fresh: new Map() });
  };
  const entries = new Map<string, ParameterState>();
  for (const entry of saved.params) {
    const name = rename(entry.name);
    if (entries.has(name)) mismatched.push(`${name}: two saved parameters have this name after rename`);
    entries.set(name, entry);
  }
  pair(
    parameters.map((parameter) => [parameter.name, parameter]),
    entries,
    stage,
  );

  let commitNative: (() => void) | undefined;
  try {
    commitNative = engine.prepareNative?.(native);
  } catch (error) {
    if (!isOptimError(error) || error.mismatched === undefined) throw error;
    for (const name of error.mismatched) mismatched.push(`native.${name}`);
  }
  const problems = { missing, unexpected, mismatched };
  const found = Object.entries(problems).filter(([, names]) => names.length > 0);
  if (strict && found.length > 0) {
    throw new OptimError("state-mismatch", who, {
      expected: "the state of this optimizer",
      hint: `Nothing was changed; ${found.map(([what, names]) => `${what}: ${names.join(", ")}`).join("; ")}. Use rename, or strict: false`,
      ...problems,
    });
  }

  const release = (): void => {
    for (const { fresh } of staged) for (const vector of fresh.values()) engine.release(vector);
  };
  try {
    for (const { parameter, data, fresh } of staged) {
      for (const slot of data.keys()) {
        if (vectorOf(parameter, slot) === undefined) fresh.set(slot, engine.allocate(parameter, 0));
      }
    }
  } catch (error) {
    release();
    throw error;
  }

  optimizer.loading = true;
  let done = false;
  const report: LoadReport = { missing, unexpected: [...unexpected, ...mismatched] };
  const end = (take: boolean): LoadReport => {
    if (done) return report;
    done = true;
    optimizer.loading = false;
    if (!take || optimizer.disposed) {
      release();
      return report;
    }
    for (const [group, next] of values) group.assign(next);
    for (const parameter of parameters) parameter.pending = false;
    for (const entry of staged) install(engine, entry);
    optimizer.latched = withPending && pendingScale !== undefined ? engine.scalar(pendingScale) : undefined;
    if (restore.counts !== false) engine.stages.writeCounts({ steps, skipped });
    optimizer.gradientChanges += 1;
    commitNative?.();
    committed?.();
    return report;
  };
  return { commit: () => end(true), dispose: () => void end(false) };
}

function vectorOf<P, V, S>(parameter: Parameter<P, V, S>, slot: string): V | undefined {
  return slot === pendingGradient ? parameter.accumulator : parameter.slots.get(slot);
}

function install<P, V, S>(
  engine: StateEngine<P, V, S>,
  { parameter, step, stepped, data, scalars, fresh }: StagedParameter<P, V, S>,
): void {
  for (const [slot, vector] of fresh) {
    // What was trained meanwhile may have made its own.
    if (vectorOf(parameter, slot) !== undefined) engine.release(vector);
    else if (slot === pendingGradient) parameter.accumulator = vector;
    else parameter.slots.set(slot, vector);
  }
  parameter.step = engine.scalar(step);
  parameter.stepped = stepped;
  const initial = parameter.group.initialSlots();
  for (const [slot, vector] of parameter.slots) {
    // A state without it leaves the parameters what they are, as all states do.
    if (slot === masterSlot && !data.has(slot)) continue;
    const values = data.get(slot) ?? new Float32Array(parameter.length).fill(initial.slots.get(slot) ?? 0);
    engine.write(vector, values);
  }
  parameter.scalarSlots.clear();
  const begun = stepped || parameter.slots.size > 0;
  for (const [slot, value] of [...(begun ? initial.scalarSlots : []), ...scalars]) {
    parameter.scalarSlots.set(slot, engine.scalar(value));
  }
  const gradient = data.get(pendingGradient);
  if (gradient !== undefined) {
    engine.write(parameter.accumulator as V, gradient);
    parameter.pending = true;
  }
}

const stateSchema = (): Schema => {
  const aCount = integerFrom(0);
  return {
    fields: {
      format: oneOf("optim-optimizer"),
      version: oneOf(optimizerMigrations.length + 1),
      rule: aString,
      groups: { items: { fields: { name: aString, hyperparameters: { each: anything } } } },
      params: {
        items: {
          fields: {
            name: aString,
            shape: { items: aCount },
            step: aCount,
            slots: { each: aTensor },
            scalarSlots: { each: aNumber },
            "gradient?": aTensor,
          },
        },
      },
      "baseParamSettings?": { each: anything },
      "pendingScale?": aPositive,
      steps: aCount,
      skipped: aCount,
      "native?": { each: aTensor },
    },
  };
};

/** Backends of flat arrays know no shapes: one dimension stands for any shape of as many elements. */
function fitsFlat(a: readonly number[], b: readonly number[]): boolean {
  return (a.length === 1 || b.length === 1) && lengthOf(a) === lengthOf(b);
}
