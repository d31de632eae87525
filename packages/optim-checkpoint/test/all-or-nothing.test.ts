import {
  type Checkpoint,
  decodeCheckpoint,
  encodeCheckpoint,
  restoreCheckpoint,
  takeCheckpoint,
} from "@mm/optim-checkpoint";
import { referenceOptimizer } from "@mm/optim-conformance";
import {
  type AnyOptimWrapper,
  createOptimWrapper,
  isOptimError,
  type OptimizerStateDict,
  type OptimWrapperStateDict,
  type ParameterState,
} from "@mm/optim-core";
import { OptimWrapperDict, type OptimWrapperDictStateDict } from "@mm/optim-dict";
import { adam, type AdamHyperparameters, adamw, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-layers";
import { beforeAll, describe, expect, test } from "vitest";
import { gradientsOf } from "./model.ts";

beforeAll(() => {
  tf.enableProdMode(); // without the advertisement of the cpu backend
  return tf.setBackend("cpu");
});

const names = ["arena", "variables", "arrays"] as const;
type Name = (typeof names)[number];

interface Model {
  readonly optim: OptimWrapperDict<Record<Name, AnyOptimWrapper>>;
  train(n: number): void;
  /** Vectors that the reference optimizer may have; beyond, its engine throws in the middle of staging. */
  room: number;
  readonly variable: tf.Variable;
}

/** Three wrappers on three backends, one with groups, one in mid-window with a loss scale, one plain. */
function model(): Model {
  const arena = createArena({ w: 3, v: 2 });
  const variable = tf.variable(tf.tensor2d([1, 2, 3, 4], [2, 2]));
  const data = Float32Array.of(1, -1);
  let live = 0;
  const allocations = {
    get live() {
      return live;
    },
    set live(value) {
      if (value > made.room) throw new RangeError("no room for one more");
      live = value;
    },
  };
  const wrappers = {
    arena: createOptimWrapper(
      wasmOptimizer<AdamHyperparameters, string>(adam({ lr: 0.1 }), [
        { name: "body", params: { w: arena.w } },
        { name: "head", params: { v: arena.v }, lr: 0.01 },
      ]),
      { accumulativeCounts: 2, lossScale: { initScale: 64, growthInterval: 1 } },
    ),
    variables: createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.5, momentum: 0.9 }), { kernel: variable })),
    arrays: createOptimWrapper(
      referenceOptimizer(adamw({ lr: 0.1 }), { b: { data, shape: [1, 2] } }, { allocations }),
      {
        accumulativeCounts: 3,
      },
    ),
  };
  const made: Model = {
    optim: new OptimWrapperDict<Record<Name, AnyOptimWrapper>>(wrappers),
    train(n) {
      wrappers.arena.updateParams(
        gradientsOf(n, [
          ["w", 3],
          ["v", 2],
        ]),
      );
      wrappers.variables.updateParams(() => tf.sum(tf.mul(tf.square(variable), Math.sin(n))));
      wrappers.arrays.updateParams(({ grad, scale }) => {
        grad("b").set([Math.sin(n) * scale, Math.cos(n) * scale]);
        return 0;
      });
    },
    room: Number.POSITIVE_INFINITY,
    variable,
  };
  return made;
}

/** Everything of every wrapper as one file: what is equal is equal to the byte. */
async function bytesOf({ optim }: Model): Promise<Uint8Array> {
  return encodeCheckpoint(await takeCheckpoint(optim)).bytes();
}

function trained(iterations: number): Model {
  const made = model();
  for (let n = 0; n < iterations; n += 1) made.train(n);
  return made;
}

/** A checkpoint of a run that is further than any that it is loaded into. */
const later = async (): Promise<Checkpoint & { optim: OptimWrapperDictStateDict }> =>
  (await takeCheckpoint(trained(5).optim)) as never;

const partOf = ({ wrappers }: OptimWrapperDictStateDict, name: string): OptimWrapperStateDict =>
  new Map(Object.entries(wrappers)).get(name) as OptimWrapperStateDict;

type Optimizers = (state: OptimizerStateDict) => unknown;
type Wrapper = (state: OptimWrapperStateDict) => unknown;

const optimizer =
  (edit: Optimizers): Wrapper =>
  (state) => ({ ...state, optimizer: edit(state.optimizer) });
/** Of the last parameter, so that others were staged before. */
const parameter = (edit: (last: ParameterState) => unknown): Wrapper =>
  optimizer((state) => ({
    ...state,
    params: [...state.params.slice(0, -1), edit(state.params.at(-1) as ParameterState)],
  }));

const damages: readonly (readonly [string, Wrapper, RegExp])[] = [
  ["a wrong shape", parameter((last) => ({ ...last, shape: [7] })), /state-mismatch/],
  [
    "a slot of another length",
    parameter((last) => ({ ...last, slots: mapValues(last.slots, () => new Float32Array(9)) })),
    /state-mismatch/,
  ],
  [
    "a pending gradient of another length",
    parameter((last) => ({ ...last, gradient: new Float32Array(9) })),
    /state-mismatch/,
  ],
  [
    "a missing parameter",
    optimizer((state) => ({ ...state, params: state.params.slice(1) })),
    /state-mismatch/,
  ],
  ["a missing slot", parameter((last) => ({ ...last, slots: {} })), /state-mismatch/],
  [
    "a slot too many",
    parameter((last) => ({ ...last, slots: { ...last.slots, more: new Float32Array(2) } })),
    /state-mismatch/,
  ],
  [
    "a slot in JSON",
    parameter((last) => ({ ...last, slots: mapValues(last.slots, (slot) => [...slot]) })),
    /invalid-state/,
  ],
  ["a parameter of another name", parameter((last) => ({ ...last, name: "other" })), /state-mismatch/],
  ["a step that is none", parameter((last) => ({ ...last, step: -1 })), /invalid-state/],
  ["the wrong rule", optimizer((state) => ({ ...state, rule: "Lion" })), /state-mismatch/],
  [
    "a group of another name, and of none of its parameters",
    optimizer((state) => ({
      ...state,
      groups: state.groups.map((group) => ({ ...group, name: "?", params: [] })),
    })),
    /state-mismatch/,
  ],
  [
    "a hyperparameter that the rule refuses",
    optimizer((state) => ({
      ...state,
      groups: state.groups.map((group) => ({
        ...group,
        hyperparameters: { ...group.hyperparameters, lr: -1 },
      })),
    })),
    /state-mismatch/,
  ],
  ["a later version", (state) => ({ ...state, version: 2 }), /invalid-state/],
  ["an optimizer of a later version", optimizer((state) => ({ ...state, version: 3 })), /invalid-state/],
  [
    "counts that are none",
    (state) => ({ ...state, counts: { ...state.counts, innerCount: 0.5 } }),
    /invalid-state/,
  ],
  ["nothing", () => undefined, /invalid-state/],
];

const mapValues = <A, B>(
  record: { readonly [name: string]: A },
  map: (value: A) => B,
): { [name: string]: B } =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));

/** `code` of our errors, the message of others. */
async function refusalOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    return isOptimError(error) ? error.code : String(error);
  }
  return "nothing was refused";
}

describe.each(names)("a load that fails at %s leaves every wrapper as it was, to the byte", (name) => {
  test.each(damages)("%s", async (_, damage, code) => {
    const { optim, tensors } = await later();
    const state = {
      ...optim,
      wrappers: { ...optim.wrappers, [name]: damage(partOf(optim, name)) },
    } as typeof optim;
    const target = trained(3);
    const before = await bytesOf(target);
    expect(await refusalOf(() => target.optim.loadStateDict(state))).toMatch(code);
    expect(await bytesOf(target)).toEqual(before);
    expect(
      await refusalOf(() => restoreCheckpoint(target.optim, { optim: state, ...(tensors && { tensors }) })),
    ).toMatch(code);
    expect(await bytesOf(target)).toEqual(before);
    await expectLoadable(target);
  });

  test("its state is not there", async () => {
    const { optim } = await later();
    const { [name]: _, ...others } = optim.wrappers;
    const target = trained(3);
    const before = await bytesOf(target);
    const load = () => target.optim.loadStateDict({ ...optim, wrappers: others });
    expect(await refusalOf(load)).toBe("state-mismatch");
    expect(await bytesOf(target)).toEqual(before);
    await expectLoadable(target);
  });

  test("a load of its own is pending", async () => {
    const { optim } = await later();
    const target = trained(3);
    const before = await bytesOf(target);
    const pending = target.optim.get(name).prepareLoad(partOf(optim, name));
    expect(await refusalOf(() => target.optim.loadStateDict(optim))).toBe("load-pending");
    expect(await bytesOf(target)).toEqual(before);
    pending.dispose();
    await expectLoadable(target);
  });

  test("it was disposed", async () => {
    const { optim } = await later();
    const target = trained(3);
    const left = new OptimWrapperDict(
      Object.fromEntries([...target.optim].filter(([other]) => other !== name)),
    );
    const before = encodeCheckpoint(await takeCheckpoint(left)).bytes();
    target.optim.get(name).dispose();
    expect(await refusalOf(() => target.optim.loadStateDict(optim))).toBe("disposed");
    expect(encodeCheckpoint(await takeCheckpoint(left)).bytes()).toEqual(before);
  });

  test("an error is thrown while it stages", async () => {
    const { optim } = await later();
    const target = trained(3);
    const before = await bytesOf(target);
    const wrapper = target.optim.get(name);
    const { prepareLoad } = wrapper.optimizer;
    // After it has staged all of it.
    wrapper.optimizer.prepareLoad = (...given) => {
      prepareLoad(...given).dispose();
      throw new RangeError("out of memory");
    };
    expect(await refusalOf(() => target.optim.loadStateDict(optim))).toContain("out of memory");
    expect(await bytesOf(target)).toEqual(before);
    wrapper.optimizer.prepareLoad = prepareLoad;
    await expectLoadable(target);
  });

  test("its parameters are missing from the checkpoint, or are of another size", async () => {
    const { optim, tensors = {} } = await later();
    const target = trained(3);
    const before = await bytesOf(target);
    const keys = Object.keys(tensors).filter((key) => key.startsWith(`${name}.`));
    for (const key of keys) {
      const { [key]: _, ...others } = tensors;
      for (const damaged of [others, { ...tensors, [key]: new Float32Array(9) }]) {
        expect(await refusalOf(() => restoreCheckpoint(target.optim, { optim, tensors: damaged }))).toBe(
          "state-mismatch",
        );
        expect(await bytesOf(target)).toEqual(before);
      }
    }
    expect(keys.length).toBeGreaterThan(0);
    await expectLoadable(target);
  });

  test("a write of its parameters is refused after others were written", async () => {
    const checkpoint = await later();
    const target = trained(3);
    const before = await bytesOf(target);
    const { optimizer: of } = target.optim.get(name);
    const write = of.writeParameters.bind(of);
    of.writeParameters = () => {
      throw new RangeError("no such parameter any more");
    };
    expect(await refusalOf(() => restoreCheckpoint(target.optim, checkpoint))).toContain("no such parameter");
    of.writeParameters = write;
    expect(await bytesOf(target)).toEqual(before);
    await expectLoadable(target);
  });
});

/** Nothing stays staged: the same target loads what is right. */
async function expectLoadable(target: Model): Promise<void> {
  const checkpoint = await later();
  await restoreCheckpoint(target.optim, checkpoint);
  expect(await bytesOf(target)).toEqual(encodeCheckpoint(checkpoint).bytes());
}

test("an engine that runs out of memory in the middle of staging", async () => {
  const { optim } = await later();
  // It has no slots yet, so the load has to make three vectors: two slots and the accumulator.
  for (const room of [0, 1, 2]) {
    const target = model();
    target.room = room;
    const before = await bytesOf(target);
    expect(await refusalOf(() => target.optim.loadStateDict(optim))).toContain("no room for one more");
    expect(await bytesOf(target)).toEqual(before);
    target.room = 3;
    await expectLoadable(target);
  }
});

test("a file that is cut short anywhere", async () => {
  const bytes = encodeCheckpoint(await later()).bytes();
  const target = trained(3);
  const before = await bytesOf(target);
  for (let length = 0; length < bytes.length; length += 1) {
    const load = async () =>
      restoreCheckpoint(target.optim, await decodeCheckpoint(bytes.subarray(0, length)));
    expect(await refusalOf(load)).toBe("invalid-state");
  }
  expect(await bytesOf(target)).toEqual(before);
});

test("a parameter that was disposed", async () => {
  const checkpoint = await later();
  const target = trained(3);
  const others = new OptimWrapperDict({
    arena: target.optim.get("arena"),
    arrays: target.optim.get("arrays"),
  });
  const before = encodeCheckpoint(await takeCheckpoint(others)).bytes();
  target.variable.dispose();
  expect(await refusalOf(() => restoreCheckpoint(target.optim, checkpoint))).toBe("invalid-parameter");
  expect(encodeCheckpoint(await takeCheckpoint(others)).bytes()).toEqual(before);
});

test("copies of a shared loss scaler that differ", async () => {
  const [a, b] = [sgd(), sgd()].map((rule) => wasmOptimizer(rule, { w: new Float32Array(1) }));
  const lossScale = a!.createLossScaler("dynamic");
  const dict = new OptimWrapperDict({
    a: createOptimWrapper(a!, { lossScale }),
    b: createOptimWrapper(b!, { lossScale }),
  });
  const state = await dict.stateDict();
  lossScale.update(4);
  const before = encodeCheckpoint(await takeCheckpoint(dict)).bytes();
  const { a: one, b: other } = state.wrappers;
  const differing = { ...other, lossScaler: { ...other.lossScaler, scale: 2 } } as OptimWrapperStateDict;
  const load = () => dict.loadStateDict({ ...state, wrappers: { a: one, b: differing } });
  expect(await refusalOf(load)).toBe("state-mismatch");
  expect(encodeCheckpoint(await takeCheckpoint(dict)).bytes()).toEqual(before);
});
