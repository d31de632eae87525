import { aBoolean, anything, checkOptions } from "../check-options.ts";
import { OptimError } from "../errors.ts";
import type { HyperparameterRecord } from "../hyperparameters.ts";
import type {
  GroupState,
  LoadOptions,
  LoadReport,
  OptimizerStateDict,
  ParameterState,
  PreparedLoad,
} from "../state.ts";
import { copyHyperparameters, type HyperparameterGroup } from "./groups.ts";
import type { OptimizerInternals } from "./optimizer.ts";
import type { Parameter } from "./parameters.ts";
import { checkSchema, type Schema } from "./schema.ts";
import { allSlots } from "./trace.ts";

/** The state as of the call: all reads are started before the first await. */
export async function saveOptimizerState<P, V, S>(
  optimizer: OptimizerInternals<P, V, S>,
  rule: string,
  withPending: boolean,
): Promise<OptimizerStateDict> {
  const { engine, parameters, groups, baseSettings } = optimizer;
  const vectors: V[] = [];
  const scalars: S[] = [];
  const plans = parameters.map((parameter) => {
    if (parameter.stepped) optimizer.ensureSlots(parameter);
    const slots = [...parameter.slots].map(([name, vector]) => [name, vectors.push(vector) - 1] as const);
    const scalarSlots = [...parameter.scalarSlots].map(
      ([name, scalar]) => [name, scalars.push(scalar) - 1] as const,
    );
    const step = scalars.push(parameter.step) - 1;
    const gradient =
      withPending && parameter.pending ? vectors.push(parameter.accumulator as V) - 1 : undefined;
    return { name: parameter.name, shape: [...parameter.shape], slots, scalarSlots, step, gradient };
  });
  const latched =
    withPending && optimizer.latched !== undefined ? scalars.push(optimizer.latched) - 1 : undefined;
  const groupStates: GroupState[] = groups.map(({ name, params, values }) => ({
    name,
    params: [...params],
    hyperparameters: copyHyperparameters(values),
  }));
  const base = baseSettings && copyHyperparameters(baseSettings.values);

  const reading = [
    engine.read(vectors),
    engine.readScalars(scalars),
    engine.stages.readMetrics(),
    engine.readNative?.() ?? Promise.resolve(undefined),
  ] as const;
  const [tensors, numbers, { steps, skipped }, native] = await Promise.all(reading);

  const params: ParameterState[] = plans.map(({ name, shape, slots, scalarSlots, step, gradient }) => ({
    name,
    shape,
    step: numbers[step] as number,
    slots: Object.fromEntries(slots.map(([slot, index]) => [slot, tensors[index] as Float32Array])),
    scalarSlots: Object.fromEntries(scalarSlots.map(([slot, index]) => [slot, numbers[index] as number])),
    ...(gradient !== undefined && { gradient: tensors[gradient] as Float32Array }),
  }));
  return {
    format: "optim-optimizer",
    version: 1,
    rule,
    groups: groupStates,
    params,
    ...(base !== undefined && { baseParamSettings: base }),
    ...(latched !== undefined && { pendingScale: numbers[latched] as number }),
    steps,
    skipped,
    ...(native !== undefined && { native }),
  };
}

/** One matched parameter, ready to be installed: private copies, and vectors for slots that do not exist yet. */
interface StagedParameter<P, V, S> {
  readonly parameter: Parameter<P, V, S>;
  readonly step: S;
  readonly stepped: boolean;
  readonly slots: ReadonlyMap<string, Float32Array>;
  readonly scalarSlots: ReadonlyMap<string, S>;
  readonly gradient: Float32Array | undefined;
  readonly fresh: ReadonlyMap<string, V>;
  readonly freshAccumulator: V | undefined;
}

/** Checks and stages a state. Nothing of the optimizer changes before `commit()`. */
export async function prepareOptimizerState<P, V, S>(
  optimizer: OptimizerInternals<P, V, S>,
  rule: string,
  saved: OptimizerStateDict,
  options: LoadOptions,
): Promise<PreparedLoad> {
  const { strict = true, rename = (name: string) => name, restore = {} } = checkLoadOptions(options);
  if (optimizer.loading) {
    throw new OptimError("load-pending", "prepareLoad", {
      expected: "one load at a time",
      hint: "Commit or dispose of the one that is prepared",
    });
  }
  const { engine, definition } = optimizer;
  checkSchema(saved, stateSchema, "state");
  const problems = { missing: [] as string[], unexpected: [] as string[], mismatched: [] as string[] };
  if (saved.rule !== rule) problems.mismatched.push(`rule: ${saved.rule} saved, ${rule} here`);

  const restoreHyperparameters = restore.hyperparameters !== false;
  const groupValues = restoreHyperparameters
    ? matchGroups(optimizer.groups, saved.groups, problems)
    : new Map<HyperparameterGroup, HyperparameterRecord>();
  const baseValues =
    restoreHyperparameters && optimizer.baseSettings !== undefined && saved.baseParamSettings !== undefined
      ? checkedValues(optimizer.baseSettings, saved.baseParamSettings, "baseParamSettings", problems)
      : undefined;

  const known = allSlots(definition, optimizer.groups[0]?.structure ?? {});
  const byName = new Map<string, ParameterState>();
  for (const entry of saved.params) {
    const name = rename(entry.name);
    if (byName.has(name))
      problems.mismatched.push(`${name}: two saved parameters have this name after rename`);
    byName.set(name, entry);
  }
  const matched: (readonly [Parameter<P, V, S>, ParameterState])[] = [];
  for (const parameter of optimizer.parameters) {
    const entry = byName.get(parameter.name);
    byName.delete(parameter.name);
    if (entry === undefined) problems.missing.push(parameter.name);
    else if (!sameShape(entry.shape, parameter.shape)) {
      problems.mismatched.push(
        `${parameter.name}: shape [${entry.shape.join(", ")}] saved, [${parameter.shape.join(", ")}] here`,
      );
    } else {
      matched.push([parameter, entry]);
      compareSlots(parameter, entry, known, groupValues, problems);
    }
  }
  problems.unexpected.push(...byName.keys());

  const clean = problems.missing.length + problems.unexpected.length + problems.mismatched.length === 0;
  if (strict && !clean) throw mismatch(problems);
  const commitNative =
    saved.native !== undefined || engine.readNative !== undefined
      ? engine.prepareNative?.(saved.native ?? {})
      : undefined;

  const restorePending = restore.pending !== false && restore.counts !== false;
  const staged: StagedParameter<P, V, S>[] = [];
  const release = (): void => {
    for (const { fresh, freshAccumulator } of staged.splice(0)) {
      for (const vector of fresh.values()) engine.release(vector);
      if (freshAccumulator !== undefined) engine.release(freshAccumulator);
    }
  };
  try {
    for (const [parameter, entry] of matched)
      staged.push(stage(optimizer, parameter, entry, known, restorePending));
  } catch (error) {
    release();
    throw error;
  }

  optimizer.loading = true;
  let done = false;
  const report: LoadReport = {
    missing: problems.missing,
    unexpected: [...problems.unexpected, ...problems.mismatched],
  };
  return {
    commit() {
      if (done) return report;
      done = true;
      optimizer.loading = false;
      if (optimizer.disposed) {
        release();
        return report;
      }
      for (const [group, values] of groupValues) group.assign(values);
      if (baseValues !== undefined) optimizer.baseSettings?.assign(baseValues);
      for (const parameter of optimizer.parameters) parameter.pending = false;
      for (const entry of staged.splice(0)) install(optimizer, entry);
      optimizer.latched =
        restorePending && saved.pendingScale !== undefined ? engine.scalar(saved.pendingScale) : undefined;
      if (restore.counts !== false) engine.stages.writeCounts({ steps: saved.steps, skipped: saved.skipped });
      commitNative?.();
      optimizer.gradientsChanged();
      return report;
    },
    dispose() {
      if (done) return;
      done = true;
      optimizer.loading = false;
      release();
    },
  };
}

/** @throws OptimError `invalid-option`, `unknown-option` */
function checkLoadOptions(options: LoadOptions): LoadOptions {
  const who = "prepareLoad";
  const checked = checkOptions(who, options, {
    strict: aBoolean,
    rename: [(value: unknown) => typeof value === "function", "a function (saved) => current"],
    restore: anything,
  });
  if (checked.restore !== undefined) {
    checkOptions(`${who}: restore`, checked.restore, {
      hyperparameters: aBoolean,
      counts: aBoolean,
      lossScaler: aBoolean,
      pending: aBoolean,
    });
  }
  return checked;
}

interface Problems {
  readonly missing: string[];
  readonly unexpected: string[];
  readonly mismatched: string[];
}

function mismatch({ missing, unexpected, mismatched }: Problems): OptimError {
  const list = (title: string, names: readonly string[]): string =>
    names.length > 0 ? ` ${title}: ${names.join("; ")}.` : "";
  return new OptimError("state-mismatch", "prepareLoad", {
    expected: "the state of this optimizer",
    hint: `Nothing was changed.${list("Missing", missing)}${list("Unexpected", unexpected)}${list("Different", mismatched)} Use rename, or strict: false to load what fits`,
    missing,
    unexpected,
    mismatched,
  });
}

function matchGroups(
  groups: readonly HyperparameterGroup[],
  saved: readonly GroupState[],
  problems: Problems,
): Map<HyperparameterGroup, HyperparameterRecord> {
  const values = new Map<HyperparameterGroup, HyperparameterRecord>();
  const byName = new Map(saved.map((group) => [group.name, group]));
  for (const group of groups) {
    const found = byName.get(group.name);
    byName.delete(group.name);
    if (found === undefined) problems.missing.push(`group ${JSON.stringify(group.name)}`);
    else {
      const checked = checkedValues(
        group,
        found.hyperparameters,
        `group ${JSON.stringify(group.name)}`,
        problems,
      );
      if (checked !== undefined) values.set(group, checked);
    }
  }
  for (const name of byName.keys()) problems.unexpected.push(`group ${JSON.stringify(name)}`);
  return values;
}

function checkedValues(
  group: HyperparameterGroup,
  values: HyperparameterRecord,
  where: string,
  problems: Problems,
): HyperparameterRecord | undefined {
  try {
    return group.check(copyHyperparameters(values));
  } catch (error) {
    problems.mismatched.push(`${where}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

function compareSlots<P, V, S>(
  parameter: Parameter<P, V, S>,
  entry: ParameterState,
  known: { readonly slots: ReadonlySet<string>; readonly scalarSlots: ReadonlySet<string> },
  groupValues: ReadonlyMap<HyperparameterGroup, HyperparameterRecord>,
  problems: Problems,
): void {
  const { slots, scalarSlots } = parameter.group.initialSlots(groupValues.get(parameter.group));
  const compare = (
    saved: object,
    wanted: ReadonlyMap<string, unknown>,
    possible: ReadonlySet<string>,
  ): void => {
    for (const name of Object.keys(saved))
      if (!possible.has(name)) problems.unexpected.push(`${parameter.name}.${name}`);
    if (entry.step > 0)
      for (const name of wanted.keys())
        if (!Object.hasOwn(saved, name)) problems.missing.push(`${parameter.name}.${name}`);
  };
  compare(entry.slots, slots, known.slots);
  compare(entry.scalarSlots, scalarSlots, known.scalarSlots);
  for (const [name, data] of Object.entries(entry.slots)) {
    if (data.length !== parameter.length) {
      problems.mismatched.push(
        `${parameter.name}.${name}: ${data.length} elements saved, ${parameter.length} here`,
      );
    }
  }
  if (entry.gradient !== undefined && entry.gradient.length !== parameter.length) {
    problems.mismatched.push(
      `${parameter.name}: a pending gradient of ${entry.gradient.length} elements, ${parameter.length} here`,
    );
  }
}

function stage<P, V, S>(
  { engine }: OptimizerInternals<P, V, S>,
  parameter: Parameter<P, V, S>,
  entry: ParameterState,
  known: { readonly slots: ReadonlySet<string>; readonly scalarSlots: ReadonlySet<string> },
  restorePending: boolean,
): StagedParameter<P, V, S> {
  const slots = new Map<string, Float32Array>();
  for (const [name, data] of Object.entries(entry.slots)) {
    if (known.slots.has(name) && data.length === parameter.length) slots.set(name, data.slice());
  }
  const scalarSlots = new Map<string, S>();
  for (const [name, value] of Object.entries(entry.scalarSlots)) {
    if (known.scalarSlots.has(name)) scalarSlots.set(name, engine.scalar(value));
  }
  const fits = entry.gradient !== undefined && entry.gradient.length === parameter.length;
  const gradient = restorePending && fits ? entry.gradient.slice() : undefined;
  const fresh = new Map<string, V>();
  let freshAccumulator: V | undefined;
  try {
    for (const name of slots.keys())
      if (!parameter.slots.has(name)) fresh.set(name, engine.allocate(parameter, 0));
    if (gradient !== undefined && parameter.accumulator === undefined)
      freshAccumulator = engine.allocate(parameter, 0);
  } catch (error) {
    for (const vector of fresh.values()) engine.release(vector);
    throw error;
  }
  const stepped = entry.step > 0 || slots.size > 0;
  return {
    parameter,
    step: engine.scalar(entry.step),
    stepped,
    slots,
    scalarSlots,
    gradient,
    fresh,
    freshAccumulator,
  };
}

function install<P, V, S>({ engine }: OptimizerInternals<P, V, S>, staged: StagedParameter<P, V, S>): void {
  const { parameter, slots, scalarSlots, fresh, gradient, freshAccumulator } = staged;
  parameter.step = staged.step;
  parameter.stepped = staged.stepped;
  for (const [name, vector] of fresh) {
    if (parameter.slots.has(name)) engine.release(vector);
    else parameter.slots.set(name, vector);
  }
  const initial = parameter.group.initialSlots();
  for (const [name, vector] of parameter.slots) {
    engine.write(
      vector,
      slots.get(name) ?? new Float32Array(parameter.length).fill(initial.slots.get(name) ?? 0),
    );
  }
  parameter.scalarSlots.clear();
  for (const [name, value] of scalarSlots) parameter.scalarSlots.set(name, value);
  if (parameter.slots.size > 0 || parameter.stepped) {
    for (const [name, value] of initial.scalarSlots) {
      if (!parameter.scalarSlots.has(name)) parameter.scalarSlots.set(name, engine.scalar(value));
    }
  }
  if (freshAccumulator !== undefined) {
    if (parameter.accumulator === undefined) parameter.accumulator = freshAccumulator;
    else engine.release(freshAccumulator);
  }
  if (gradient !== undefined) {
    engine.write(parameter.accumulator as V, gradient);
    parameter.pending = true;
  }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((side, index) => side === b[index]);
}

const aString: Schema = { is: (value) => typeof value === "string", expected: "a string" };
const aCount: Schema = {
  is: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  expected: "a count",
};
const aNumber: Schema = { is: (value) => typeof value === "number", expected: "a number" };
const aScale: Schema = {
  is: (value) => Number.isFinite(value) && (value as number) > 0,
  expected: "a positive finite number",
};
const aTensor: Schema = { is: (value) => value instanceof Float32Array, expected: "a Float32Array" };
const aValue: Schema = {
  is: (value) =>
    ["number", "boolean"].includes(typeof value) ||
    (Array.isArray(value) && value.every((item) => typeof item === "number")),
  expected: "a number, a boolean or an array of numbers",
};
const exactly = (wanted: unknown): Schema => ({
  is: (value) => value === wanted,
  expected: JSON.stringify(wanted),
});

const stateSchema: Schema = {
  keys: {
    format: exactly("optim-optimizer"),
    version: exactly(1),
    rule: aString,
    groups: {
      items: { keys: { name: aString, params: { items: aString }, hyperparameters: { each: aValue } } },
    },
    params: {
      items: {
        keys: {
          name: aString,
          shape: { items: aCount },
          step: aCount,
          slots: { each: aTensor },
          scalarSlots: { each: aNumber },
          "gradient?": aTensor,
        },
      },
    },
    "baseParamSettings?": { each: aValue },
    "pendingScale?": aScale,
    steps: aCount,
    skipped: aCount,
    "native?": { each: aTensor },
  },
};
