import {
  createOptimWrapper,
  type NamedTensors,
  type OptimizerStateDict,
  type OptimWrapper,
  type OptimWrapperOptions,
} from "@mm/optim-core";
import { adamw, lamb, nadam, sgd } from "@mm/optim-rules";
import type { UpdateRule } from "@mm/optim-core/rule";
import { type TfjsLoss, tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import type { Engine } from "@mm/optim-core/backend";
import { createVariableOptimizer } from "../src/variable-optimizer.ts";
import { inPlaceEngine } from "../src/in-place/engine.ts";
import { arrayStorage } from "../src/in-place/arrays.ts";
import { heapStorage } from "../src/in-place/heap.ts";
import { opsEngine } from "../src/ops/engine.ts";
import { linearLoss, paths, use } from "./backends.ts";

type Wrapper = OptimWrapper<TfjsLoss, tf.Scalar>;

/** Everything that a step needs and may not get: tensors, results of kernels, arrays, compiled modules. */
const faults: readonly (readonly [name: string, host: () => object, member: string])[] = [
  ["a kernel of tfjs", () => tf.engine(), "runKernel"],
  ["a tensor", () => tf.engine(), "makeTensor"],
  ["memory of the backend", () => tf.backend(), "write"],
  ["an array", () => Float32Array.prototype, "slice"],
  ["a WebAssembly module", () => WebAssembly, "Instance"],
];

class Fault extends Error {}

/** Runs with the call number `at` of a member failing. Returns how many calls there were. */
function failingAt(at: number, host: object, member: string, run: () => void): number {
  let calls = 0;
  const own = Object.getOwnPropertyDescriptor(host, member);
  const real = Reflect.get(host, member) as (...given: unknown[]) => unknown;
  const failing = function (this: unknown, ...given: unknown[]): unknown {
    calls += 1;
    if (calls === at) throw new Fault(member);
    const constructed: unknown = new.target;
    return constructed === undefined
      ? Reflect.apply(real, this, given)
      : (Reflect.construct(real, given) as object);
  };
  Object.defineProperty(host, member, { value: failing, configurable: true, writable: true });
  try {
    run();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  } finally {
    if (own === undefined) Reflect.deleteProperty(host, member);
    else Object.defineProperty(host, member, own);
  }
  return calls;
}

/** The calls that fail, one at a time: all of few; of many the first and the last, and some between. */
function places(calls: number): readonly number[] {
  const all = Array.from({ length: calls }, (_, index) => index + 1);
  return all.filter((at) => calls <= 15 || at <= 3 || at > calls - 6 || at % 61 === 0);
}

/** Another tensor over the same data. A clone is a copy on tfjs-wasm. */
const sharing = (variable: tf.Variable): tf.Tensor => tf.reshape(variable, variable.shape);

/** Three variables, two of which share their data. */
function model(): {
  readonly variables: { [name: string]: tf.Variable };
  readonly loss: TfjsLoss;
  free(): void;
} {
  const variable = (values: number[]): tf.Variable => tf.tidy(() => tf.variable(tf.tensor1d(values)));
  const variables = { a: variable([1, 2, 3]), b: variable([4, 5]), c: variable([6, 7, 8, 9]) };
  const others = [sharing(variables.b), tf.reshape(variables.c, [2, 2])];
  const loss = linearLoss(variables, { a: [0.1, 0.2, -0.3], b: [1, -1], c: [0.5, 0.25, 0, 1] });
  return { variables, loss, free: () => tf.dispose([...Object.values(variables), ...others]) };
}

interface Everything {
  readonly parameters: NamedTensors;
  readonly state: OptimizerStateDict;
  readonly steps: number;
  readonly skipped: number;
  readonly lossScale: number;
}

/** All that a step changes: parameters, state with what is pending, counts, scale. */
async function everything({ optimizer, ...wrapper }: Wrapper): Promise<Everything> {
  const { steps, skipped, lossScale } = await wrapper.readMetrics();
  const [parameters, state] = [await optimizer.readParameters(), await optimizer.stateDict()];
  return { parameters, state, steps, skipped, lossScale };
}

type Make = (variables: { readonly [name: string]: tf.Variable }) => Wrapper;

/** Lets calls of one kind fail, in a backward and in the step after it, each in a run of its own. Returns how many failed in steps. */
async function survive(make: Make, host: object, member: string): Promise<number> {
  const run = async (at: {
    readonly backward: number;
    readonly step: number;
  }): Promise<Record<"backward" | "step", number>> => {
    const { numTensors } = tf.memory();
    const { variables, loss, free } = model();
    const wrapper = make(variables);
    wrapper.updateParams(loss);
    const others = Object.values(variables).map(sharing);
    const attempt = async (call: "backward" | "step", perform: () => void): Promise<number> => {
      const before = await everything(wrapper);
      const calls = failingAt(at[call], host, member, perform);
      const failed = at[call] <= calls;
      const after = failed ? await everything(wrapper) : before;
      expect(after, `${call}, ${member} ${String(at[call])} of ${String(calls)}`).toEqual(before);
      if (failed) perform();
      return calls;
    };
    const calls = {
      backward: await attempt("backward", () => void wrapper.backward(loss)),
      step: await attempt("step", () => wrapper.step()),
    };
    wrapper.zeroGrad();
    // A call that failed and is made again leads where an undisturbed run does.
    const after = await everything(wrapper);
    expected ??= after;
    expect(after).toEqual(expected);
    wrapper.dispose();
    tf.dispose(others);
    free();
    // Where a kernel fails in a closure, tfjs itself leaves the inputs that it saved half-way.
    const leaks = at.backward <= calls.backward;
    expect(leaks ? numTensors : tf.memory().numTensors).toBe(numTensors);
    return calls;
  };
  let expected: Everything | undefined;
  const calls = await run({ backward: Infinity, step: Infinity });
  for (const backward of places(calls.backward)) await run({ backward, step: Infinity });
  for (const step of places(calls.step)) await run({ backward: Infinity, step });
  return calls.step;
}

const clipped: OptimWrapperOptions = { lossScale: { growthInterval: 2 }, clipGrad: { maxNorm: 1 } };

describe.each(paths)("$name: a backward or step that throws half-way has changed nothing", (path) => {
  test.each<readonly [string, UpdateRule, OptimWrapperOptions]>([
    ["SGD with momentum", sgd({ lr: 0.5, momentum: 0.5 }), {}],
    ["AdamW, a dynamic loss scale, clipped", adamw(), clipped],
    ["LAMB, skipping", lamb(), { onNonFinite: "skip", clipGrad: { type: "value", clipValue: 0.5 } }],
    ["NAdam, with a norm", nadam(), { gradNorm: true }],
  ])("%s", async (_, rule, options) => {
    await use(path);
    const make: Make = (variables) =>
      createOptimWrapper(tfjsOptimizer(rule, variables, path.options), options);
    const reached = new Map<string, number>();
    for (const [name, host, member] of faults) reached.set(name, await survive(make, host(), member));
    // In place three variables are copied, since others share their data; kernels of tfjs are run by ops alone.
    expect(reached.get("a tensor")).toBeGreaterThanOrEqual(path.inPlace ? 3 : 1);
    expect(reached.get("a kernel of tfjs") === 0).toBe(path.inPlace);
  });
});

test.each([
  ["tf.train.sgd", () => tf.train.sgd(0.5)],
  ["tf.train.momentum", () => tf.train.momentum(0.5, 0.9)],
  ["tf.train.adam", () => tf.train.adam(0.5)],
  ["tf.train.rmsprop", () => tf.train.rmsprop(0.5, 0.9, 0.5, 1e-7, true)],
])("%s in a wrapper: a step that throws half-way has changed nothing", async (_, create) => {
  await use({ backend: "cpu" });
  const make: Make = (variables) => createOptimWrapper(tfjsOptimizer(create(), variables), clipped);
  let reached = 0;
  for (const [, host, member] of faults.slice(0, 3)) reached += await survive(make, host(), member);
  expect(reached).toBeGreaterThan(5);
});

test("a compiler that fails in the middle of a step, at the program of the second group, has changed nothing", async () => {
  await use({ backend: "wasm" });
  const { variables, loss, free } = model();
  const { a, b, c } = variables as { readonly [K in "a" | "b" | "c"]: tf.Variable };
  // AMSGrad is another program than Adam. Clipping by value makes two more, which no other test here compiles.
  const groups = [{ params: { a, b } }, { params: { c }, amsgrad: true }];
  const wrapper = createOptimWrapper(tfjsOptimizer(adamw({ lr: 0.25, maximize: true }), groups), {
    clipGrad: { type: "value", clipValue: 0.5 },
  });
  wrapper.backward(loss);
  const before = await everything(wrapper);
  expect(failingAt(2, WebAssembly, "Instance", () => wrapper.step())).toBe(2);
  const { steps, parameters } = await everything(wrapper);
  expect({ steps, parameters }).toEqual({ steps: before.steps, parameters: before.parameters });
  wrapper.step();
  expect((await wrapper.readMetrics()).steps).toBe(1);
  wrapper.dispose();
  free();
});

/** The engine of a path, without room for its third vector. */
function cramped<V, G, S>(
  engine: Engine<TfjsLoss, tf.Scalar, tf.Variable, V, G, S>,
): Engine<TfjsLoss, tf.Scalar, tf.Variable, V, G, S> {
  let left = 2;
  return {
    ...engine,
    allocate(parameter, initial) {
      left -= 1;
      if (left === -1) throw new Fault("no room");
      return engine.allocate(parameter, initial);
    },
  };
}

test.each(paths)(
  "$name: gradients without room for an accumulator are freed, and the next backward starts anew",
  async (path) => {
    await use(path);
    const { variables, loss, free } = model();
    const storage = path.inPlace ? (heapStorage(tf.backend()) ?? arrayStorage(tf.backend())) : undefined;
    const make = <V, G, S>(engine: Engine<TfjsLoss, tf.Scalar, tf.Variable, V, G, S>) =>
      createVariableOptimizer("test", cramped(engine), sgd({ lr: 1 }), variables);
    const optimizer = storage === undefined ? make(opsEngine()) : make(inPlaceEngine(storage));
    const before = tf.memory().numTensors;
    expect(() => optimizer.backward(loss, { returnLoss: true })).toThrow(Fault);
    expect(await optimizer.readGradients()).toEqual({});
    optimizer.backward(loss);
    // Those of the backward that failed are not in the sum.
    expect((await optimizer.readGradients())["b"]).toEqual(Float32Array.of(1, -1));
    optimizer.dispose();
    expect(tf.memory().numTensors).toBe(before);
    free();
  },
);
