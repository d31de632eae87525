import {
  type BaseHyperparameters,
  type Capabilities,
  OptimError,
  type Optimizer,
  type ParametersInput,
} from "@mm/optim-core";
import { hostCapabilities, packed, refuse } from "@mm/optim-core/backend";
import { defineUpdateRule, type UpdateRule } from "@mm/optim-core/rule";
import * as tf from "@tensorflow/tfjs-core";
import type { TfjsLoss } from "./gradients.ts";
import { OpsStages, opsStorage, ofTensors } from "./ops/engine.ts";
import { createEvaluation } from "./ops/evaluation.ts";
import type { OpsEngine, OpsItem } from "./ops/ops-engine.ts";
import type { StepFactors } from "./ops/update.ts";
import { Latch } from "./scalar.ts";
import { scoped } from "./scope.ts";
import { readTensors, tensorOf, writeVariable } from "./transfer.ts";
import { createVariableOptimizer } from "./variable-optimizer.ts";

/** The part of a `tf.Optimizer` that is used. */
export interface NativeOptimizer {
  applyGradients(gradients: tf.NamedTensorMap | { name: string; tensor: tf.Tensor }[]): void;
  getWeights(): Promise<{ name: string; tensor: tf.Tensor }[]>;
  dispose(): void;
}

/** The live members of a `tf.Optimizer`. */
export interface NativeHyperparameters {
  lr: number;
}

export function isNativeOptimizer(value: unknown): value is NativeOptimizer {
  return typeof (value as Partial<NativeOptimizer> | null | undefined)?.applyGradients === "function";
}

/** @throws OptimError `unsupported` for several groups */
export function nativeOptimizer(
  native: NativeOptimizer,
  parameters: ParametersInput<tf.Variable, BaseHyperparameters>,
  who: string,
): Optimizer<TfjsLoss, tf.Scalar, NativeHyperparameters> {
  const { engine, rule } = nativeEngine(native);
  return createVariableOptimizer(who, engine, rule, parameters);
}

/**
 * An optimizer over a `tf.Optimizer`: accumulation, clipping and loss scaling are ours, in tfjs ops, and the update is one
 * `applyGradients`. The pipeline stays: the "rule" computes the gradient that is handed over.
 */
function nativeEngine(native: NativeOptimizer): {
  readonly engine: OpsEngine;
  readonly rule: UpdateRule<NativeHyperparameters>;
} {
  const learningRate = learningRateOf(native);
  const variables: tf.Variable[] = [];
  const latch = new Latch();
  const stages = new OpsStages(latch, {
    decides: "host",
    prepare(items, factors) {
      const gradients = new Map<tf.Variable, tf.Tensor>();
      for (const item of items) gradients.set(item.parameter.value, handedOver(item, factors));
      // State is by position: every variable keeps its place, with or without a gradient.
      const list = variables.map((variable) => ({
        name: variable.name,
        tensor: (gradients.get(variable) ?? null) as tf.Tensor,
      }));
      const restore = rememberAll(native, [...gradients.keys()]);
      return () => {
        learningRate.set(items[0]?.parameter.group.values["lr"] as number);
        try {
          native.applyGradients(list);
        } catch (error) {
          restore();
          throw error;
        }
        for (const { parameter } of items) parameter.step = (parameter.step as number) + 1;
      };
    },
  });
  const engine: OpsEngine = {
    backend: "tfjs",
    capabilities: ofTensors(capabilities),
    ...opsStorage(latch),
    admit: (added) => void variables.push(...added.map(({ value }) => value)),
    stages,
    readNative: () => readState(native),
    prepareNative: (saved) => prepareState(native, variables, saved),
    dispose() {
      stages.dispose();
      disposeNative(native);
    },
  };
  return { engine, rule: nativeRule(native, learningRate.value) };
}

const capabilities: Capabilities = /* @__PURE__ */ (() =>
  Object.freeze({
    ...hostCapabilities,
    inPlace: false,
    fused: false,
    rules: false,
    liveHyperparameters: false,
    groups: false,
    perParameterSteps: false,
    portableState: false,
  }))();

/** The gradient after unscaling and clipping: what the rule of {@link nativeRule} gives as its next parameter. */
function handedOver(
  item: OpsItem,
  factors: Pick<StepFactors, "factor" | "clipGrad" | "constant">,
): tf.Tensor {
  const { node } = createEvaluation(item, { ...factors, step: () => Number.NaN });
  return node(item.program.outputs.param) as tf.Tensor;
}

function nativeRule(native: NativeOptimizer, lr: number | undefined): UpdateRule<NativeHyperparameters> {
  const rule = defineUpdateRule<NativeHyperparameters>({
    name: `tf.train ${nameOf(native)}`,
    hyperparameters: { lr: lr ?? 0 },
    check: (chosen) =>
      lr === undefined && chosen.lr !== 0
        ? `no lr: ${nameOf(native)} has no learning rate that can be set`
        : undefined,
    update: ({ grad }) => ({ param: grad }),
  });
  return rule();
}

function nameOf(native: object): string {
  const { className, name } = native.constructor as { readonly className?: string; readonly name: string };
  return className ?? name;
}

/**
 * The learning rate of a `tf.Optimizer`. SGD and Momentum hold it in a tensor and have a setter; the others read the property
 * `learningRate` at each step.
 */
function learningRateOf(native: object): { readonly value: number | undefined; set(lr: number): void } {
  const host = native as { learningRate?: unknown; setLearningRate?: (lr: number) => void };
  const value = typeof host.learningRate === "number" ? host.learningRate : undefined;
  let current = value;
  return {
    value,
    set(lr) {
      if (value === undefined || lr === current) return;
      if (host.setLearningRate === undefined) host.learningRate = lr;
      else host.setLearningRate(lr);
      current = lr;
    },
  };
}

/** A variable of a `tf.Optimizer` that belongs to the trained variable of the same position. */
interface Moment {
  readonly originalName: string;
  readonly variable: tf.Variable;
}

const iterations = "iterations_";

/** The state of a `tf.Optimizer`, by field: variables (Adam's powers of β), and lists with one variable for each trained one. */
function stateFields(native: object): readonly (readonly [field: string, state: tf.Variable | Moment[]])[] {
  return Object.entries(native).filter(
    (entry): entry is [string, tf.Variable | Moment[]] =>
      entry[1] instanceof tf.Variable || isMoments(entry[1]),
  );
}

function isMoments(value: unknown): value is Moment[] {
  return (
    Array.isArray(value) &&
    value.every((moment: Partial<Moment> | null) => moment?.variable instanceof tf.Variable)
  );
}

/**
 * The state as of the call, from the fields themselves: `getWeights` leaves out the powers of β, so a resumed run would differ in the
 * last bits, and gives its values only later. It is asked all the same, for whether the fields are all there is.
 */
async function readState(native: NativeOptimizer): Promise<{ readonly [name: string]: Float32Array }> {
  const names: string[] = [];
  const variables: tf.Variable[] = [];
  for (const [field, state] of stateFields(native)) {
    for (const [index, variable] of momentsOf(state).entries()) {
      names.push(Array.isArray(state) ? `${field}.${index}` : field);
      variables.push(variable);
    }
  }
  const count = (native as { [iterations]?: unknown })[iterations] ?? 0;
  const reading = readTensors(variables);
  const weights = await allWeights(native);
  if (typeof count !== "number" || weights.some((weight) => !variables.includes(weight as tf.Variable))) {
    refuseState(native, "a tf.Optimizer that keeps its state in variables of its own");
  }
  const tensors = await reading;
  const all = packed([...tensors, Float32Array.of(count)]);
  return Object.fromEntries([...names, iterations].map((name, index) => [name, all[index] as Float32Array]));
}

/**
 * Everything that a step of a `tf.Optimizer` may change: the variables given, its own, and its numbers. The function that is returned puts all of it
 * back. Until the tidy around ends, a second handle keeps the values that the step replaces.
 */
function rememberAll(native: object, trained: readonly tf.Variable[]): () => void {
  const fields = stateFields(native);
  const lists = fields.flatMap(([, state]) => (Array.isArray(state) ? [[state, state.length] as const] : []));
  const variables = [...trained, ...fields.flatMap(([, state]) => momentsOf(state))];
  // A clone would be a copy on tfjs-wasm.
  const values = variables.map((variable) => [variable, tf.reshape(variable, variable.shape)] as const);
  const numbers = Object.entries(native).filter(([, value]) => typeof value === "number");
  return () => {
    for (const [list, length] of lists) for (const { variable } of list.splice(length)) variable.dispose();
    for (const [variable, value] of values) variable.assign(value);
    Object.assign(native, Object.fromEntries(numbers));
  };
}

const momentsOf = (state: tf.Variable | readonly Moment[]): readonly tf.Variable[] =>
  state instanceof tf.Variable ? [state] : state.map(({ variable }) => variable);

/** The result of `getWeights` but for its first entry, the count of iterations, which is a new tensor at each call. */
async function allWeights(native: NativeOptimizer): Promise<readonly tf.Tensor[]> {
  try {
    const [count, ...weights] = await native.getWeights();
    count?.tensor.dispose();
    return weights.map(({ tensor }) => tensor);
  } catch (cause) {
    return refuseState(native, "a tf.Optimizer with getWeights()", { cause });
  }
}

function refuseState(native: object, expected: string, details: { readonly cause?: unknown } = {}): never {
  return refuse("unsupported", "stateDict", expected, nameOf(native), {
    hint: "Use an update rule of @mm/optim-rules, whose state is named and complete",
    ...details,
  });
}

/**
 * Checks a saved state; what it returns writes it into the fields at once. `setWeights` could not: it is asynchronous, and never frees
 * what it replaces.
 */
function prepareState(
  native: object,
  variables: readonly tf.Variable[],
  saved: { readonly [name: string]: Float32Array },
): () => void {
  const left = new Map(Object.entries(saved).map(([name, data]) => [name, data.slice()] as const));
  const take = (name: string, length: number): Float32Array | undefined => {
    const data = left.get(name);
    left.delete(name);
    if (data === undefined || data.length === length) return data;
    throw mismatch([`${name}: ${data.length} elements saved, ${length} here`]);
  };
  const [count] = take(iterations, 1) ?? [];
  const missing = count === undefined ? [iterations] : [];
  const writes = stateFields(native).map(([field, state]) => {
    if (!Array.isArray(state)) {
      const data = take(field, state.size);
      if (data === undefined) missing.push(field);
      return () => writeVariable(state, data as Float32Array);
    }
    const moments = variables.map(({ size }, index) => take(`${field}.${index}`, size));
    const some = moments.filter((data) => data !== undefined);
    // All of them, or none where no step was taken.
    if (some.length !== 0 && some.length !== moments.length) missing.push(field);
    return () => writeMoments(state, some, variables, field);
  });
  if (missing.length + left.size > 0) throw mismatch([...missing, ...left.keys()]);
  return () => {
    for (const write of writes) write();
    (native as { [iterations]?: number })[iterations] = count as number;
  };
}

function mismatch(names: readonly string[]): OptimError {
  return new OptimError("state-mismatch", "prepareLoad: native", {
    expected: "the state of the same tf.Optimizer over the same variables",
    hint: `Nothing was changed. Different: ${names.join("; ")}`,
    mismatched: names,
  });
}

function writeMoments(
  state: Moment[],
  saved: readonly Float32Array[],
  variables: readonly tf.Variable[],
  field: string,
): void {
  for (const { variable } of state.splice(saved.length)) variable.dispose();
  for (const [index, data] of saved.entries()) {
    const known = state[index];
    const { shape, name } = variables[index] as tf.Variable;
    if (known !== undefined) writeVariable(known.variable, data);
    else {
      const variable = scoped(() => tf.variable(tensorOf(data, shape), false));
      state.push({ originalName: `${name}/${field}`, variable });
    }
  }
}

/** Frees all of it: Momentum's own `dispose` leaves a scalar behind. */
function disposeNative(native: NativeOptimizer): void {
  native.dispose();
  for (const value of Object.values(native)) {
    if (value instanceof tf.Tensor && !value.isDisposed) value.dispose();
  }
}
