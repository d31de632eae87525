import { OptimError } from "../errors.ts";
import type { HyperparameterRecord } from "../hyperparameters.ts";
import type { GroupState, LoadOptions, LoadReport, OptimizerStateDict, ParameterState, PreparedLoad } from "../state.ts";
import { copyHyperparameters, type HyperparameterGroup } from "./groups.ts";
import type { OptimizerInternals } from "./optimizer.ts";
import type { Parameter } from "./parameters.ts";
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
    const scalarSlots = [...parameter.scalarSlots].map(([name, scalar]) => [name, scalars.push(scalar) - 1] as const);
    const step = scalars.push(parameter.step) - 1;
    const gradient = withPending && parameter.pending ? vectors.push(parameter.accumulator as V) - 1 : undefined;
    return { name: parameter.name, shape: [...parameter.shape], slots, scalarSlots, step, gradient };
  });
  const latched = withPending && optimizer.latched !== undefined ? scalars.push(optimizer.latched) - 1 : undefined;
  const groupStates: GroupState[] = groups.map(({ name, params, values }) => ({
    name,
    params: [...params],
    hyperparameters: copyHyperparameters(values),
  }));
  const base = baseSettings && copyHyperparameters(baseSettings.values);

  const reading = [engine.read(vectors), engine.readScalars(scalars), engine.stages.readMetrics(), engine.readNative?.()] as const;
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
  { strict = true, rename = (name) => name, restore = {} }: LoadOptions,
): Promise<PreparedLoad> {
  if (optimizer.loading) {
    throw new OptimError("load-pending", "prepareLoad", {
      expected: "one load at a time",
      hint: "Commit or dispose of the one that is prepared",
    });
  }
  const { engine, definition } = optimizer;
  checkShape(saved);
  const problems = { missing: [] as string[], unexpected: [] as string[], mismatched: [] as string[] };
  if (saved.rule !== rule) problems.mismatched.push(`rule: ${saved.rule} saved, ${rule} here`);

  const restoreHyperparameters = restore.hyperparameters !== false;
  const groupValues = restoreHyperparameters ? matchGroups(optimizer.groups, saved.groups, problems) : new Map<HyperparameterGroup, HyperparameterRecord>();
  const baseValues =
    restoreHyperparameters && optimizer.baseSettings !== undefined && saved.baseParamSettings !== undefined
      ? checkedValues(optimizer.baseSettings, saved.baseParamSettings, "baseParamSettings", problems)
      : undefined;

  const known = allSlots(definition, optimizer.groups[0]?.structure ?? {});
  const byName = new Map<string, ParameterState>();
  for (const entry of saved.params) {
    const name = rename(entry.name);
    if (byName.has(name)) problems.mismatched.push(`${name}: two saved parameters have this name after rename`);
    byName.set(name, entry);
  }
  const matched: (readonly [Parameter<P, V, S>, ParameterState])[] = [];
  for (const parameter of optimizer.parameters) {
    const entry = byName.get(parameter.name);
    byName.delete(parameter.name);
    if (entry === undefined) problems.missing.push(parameter.name);
    else if (!sameShape(entry.shape, parameter.shape)) {
      problems.mismatched.push(`${parameter.name}: shape [${entry.shape.join(", ")}] saved, [${parameter.shape.join(", ")}] here`);
    } else {
      matched.push([parameter, entry]);
      compareSlots(parameter, entry, known, groupValues, problems);
    }
  }
  problems.unexpected.push(...byName.keys());

  const clean = problems.missing.length + problems.unexpected.length + problems.mismatched.length === 0;
  if (strict && !clean) throw mismatch(problems);
  const commitNative = saved.native !== undefined || engine.readNative !== undefined ? engine.prepareNative?.(saved.native ?? {}) : undefined;

  const restorePending = restore.pending !== false && restore.counts !== false;
  const staged: StagedParameter<P, V, S>[] = [];
  const release = (): void => {
    for (const { fresh, freshAccumulator } of staged.splice(0)) {
      for (const vector of fresh.values()) engine.release(vector);
      if (freshAccumulator !== undefined) engine.release(freshAccumulator);
    }
  };
  try {
    for (const [parameter, entry] of matched) staged.push(stage(optimizer, parameter, entry, known, restorePending));
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
      optimizer.latched = restorePending && saved.pendingScale !== undefined ? engine.scalar(saved.pendingScale) : undefined;
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

interface Problems {
  readonly missing: string[];
  readonly unexpected: string[];
  readonly mismatched: string[];
}

function mismatch({ missing, unexpected, mismatched }: Problems): OptimError {
  const list = (title: string, names: readonly string[]): string => (names.length > 0 ? ` ${title}: ${names.join("; ")}.` : "");
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
      const checked = checkedValues(group, found.hyperparameters, `group ${JSON.stringify(group.name)}`, problems);
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
  const compare = (saved: object, wanted: ReadonlyMap<string, unknown>, possible: ReadonlySet<string>): void => {
    for (const name of Object.keys(saved)) if (!possible.has(name)) problems.unexpected.push(`${parameter.name}.${name}`);
    if (entry.step > 0) for (const name of wanted.keys()) if (!Object.hasOwn(saved, name)) problems.missing.push(`${parameter.name}.${name}`);
  };
  compare(entry.slots, slots, known.slots);
  compare(entry.scalarSlots, scalarSlots, known.scalarSlots);
  for (const [name, data] of Object.entries(entry.slots)) {
    if (data.length !== parameter.length) {
      problems.mismatched.push(`${parameter.name}.${name}: ${data.length} elements saved, ${parameter.length} here`);
    }
  }
  if (entry.gradient !== undefined && entry.gradient.length !== parameter.length) {
    problems.mismatched.push(`${parameter.name}: a pending gradient of ${entry.gradient.length} elements, ${parameter.length} here`);
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
    for (const name of slots.keys()) if (!parameter.slots.has(name)) fresh.set(name, engine.allocate(parameter, 0));
    if (gradient !== undefined && parameter.accumulator === undefined) freshAccumulator = engine.allocate(parameter, 0);
  } catch (error) {
    for (const vector of fresh.values()) engine.release(vector);
    throw error;
  }
  const stepped = entry.step > 0 || slots.size > 0;
  return { parameter, step: engine.scalar(entry.step), stepped, slots, scalarSlots, gradient, fresh, freshAccumulator };
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
    engine.write(vector, slots.get(name) ?? new Float32Array(parameter.length).fill(initial.slots.get(name) ?? 0));
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

function bad(where: string, expected: string, received: unknown): never {
  throw new OptimError("invalid-state", `prepareLoad: ${where}`, { expected, received, hint: "Nothing was changed" });
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** Checks everything about the form of a state, so that the rest may trust its types. */
function checkShape(saved: unknown): asserts saved is OptimizerStateDict {
  if (!isRecord(saved)) bad("state", "an optimizer's state dict", saved);
  if (saved["format"] !== "optim-optimizer") bad("format", '"optim-optimizer"', saved["format"]);
  if (saved["version"] !== 1) bad("version", "1, which this release reads", saved["version"]);
  if (typeof saved["rule"] !== "string") bad("rule", "the name of a rule", saved["rule"]);
  for (const count of ["steps", "skipped"]) if (!isCount(saved[count])) bad(count, "a count", saved[count]);
  const scale = saved["pendingScale"];
  if (scale !== undefined && !(typeof scale === "number" && scale > 0 && Number.isFinite(scale))) {
    bad("pendingScale", "a positive finite number", scale);
  }
  const { groups, params, baseParamSettings, native } = saved;
  if (!Array.isArray(groups)) bad("groups", "an array", groups);
  for (const [index, group] of groups.entries() as IterableIterator<[number, unknown]>) checkGroup(group, `groups[${index}]`);
  if (baseParamSettings !== undefined) checkHyperparameters(baseParamSettings, "baseParamSettings");
  if (!Array.isArray(params)) bad("params", "an array", params);
  for (const [index, entry] of params.entries() as IterableIterator<[number, unknown]>) checkParameter(entry, `params[${index}]`);
  if (native !== undefined) checkTensors(native, "native");
}

function checkGroup(group: unknown, where: string): void {
  if (!isRecord(group)) bad(where, "a group", group);
  if (typeof group["name"] !== "string") bad(`${where}.name`, "a string", group["name"]);
  const names = group["params"];
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) bad(`${where}.params`, "names", names);
  checkHyperparameters(group["hyperparameters"], `${where}.hyperparameters`);
}

function checkHyperparameters(values: unknown, where: string): void {
  if (!isRecord(values)) bad(where, "hyperparameters by name", values);
  for (const [name, value] of Object.entries(values)) {
    const fine = typeof value === "number" || typeof value === "boolean" || (Array.isArray(value) && value.every((item) => typeof item === "number"));
    if (!fine) bad(`${where}.${name}`, "a number, a boolean or an array of numbers", value);
  }
}

function checkTensors(tensors: unknown, where: string): void {
  if (!isRecord(tensors)) bad(where, "tensors by name", tensors);
  for (const [name, data] of Object.entries(tensors)) if (!(data instanceof Float32Array)) bad(`${where}.${name}`, "a Float32Array", data);
}

function checkParameter(entry: unknown, where: string): void {
  if (!isRecord(entry)) bad(where, "the state of a parameter", entry);
  if (typeof entry["name"] !== "string" || entry["name"] === "") bad(`${where}.name`, "a name", entry["name"]);
  const shape = entry["shape"];
  if (!Array.isArray(shape) || !shape.every(isCount)) bad(`${where}.shape`, "a shape", shape);
  if (!isCount(entry["step"])) bad(`${where}.step`, "a count", entry["step"]);
  checkTensors(entry["slots"], `${where}.slots`);
  const scalars = entry["scalarSlots"];
  if (!isRecord(scalars)) bad(`${where}.scalarSlots`, "numbers by name", scalars);
  for (const [name, value] of Object.entries(scalars)) if (typeof value !== "number") bad(`${where}.scalarSlots.${name}`, "a number", value);
  const gradient = entry["gradient"];
  if (gradient !== undefined && !(gradient instanceof Float32Array)) bad(`${where}.gradient`, "a Float32Array", gradient);
}
