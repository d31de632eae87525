import { variablesState } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { refusal } from "../../../test-support/refusal.ts";
import { paths, use } from "./backends.ts";

beforeAll(() => use(paths[1] as (typeof paths)[number]));

function variables(): { readonly a: tf.Variable; readonly b: tf.Variable } {
  const both = { a: tf.variable(tf.tensor2d([1, 2, 3, 4], [2, 2])), b: tf.variable(tf.scalar(5)) };
  onTestFinished(() => tf.dispose(both));
  return both;
}

const valuesOf = async (all: { readonly [name: string]: tf.Tensor }) =>
  Promise.all(Object.values(all).map(async (one) => Array.from(await one.data())));

test("a copy as of the call goes back into the variables, and leaves no tensor", async () => {
  const all = variables();
  const state = variablesState(all);
  const reading = state.stateDict();
  const { numTensors } = tf.memory();
  tf.tidy(() => all.a.assign(tf.zeros([2, 2])));
  const saved = await reading;
  expect(saved).toEqual({
    a: { shape: [2, 2], values: Float32Array.of(1, 2, 3, 4) },
    b: { shape: [], values: Float32Array.of(5) },
  });
  state.loadStateDict(saved);
  expect(await valuesOf(all)).toEqual([[1, 2, 3, 4], [5]]);
  // One clone of each variable was held while it was read.
  expect(tf.memory().numTensors).toBe(numTensors - 2);
  saved["b"]?.values.fill(9);
  expect(await valuesOf(all)).toEqual([[1, 2, 3, 4], [5]]);
});

/** Batch normalization alone: mean and variance move halfway with each batch. */
function normalization(): tfl.LayersModel {
  const layers = [tfl.layers.batchNormalization({ inputShape: [2], momentum: 0.5 })];
  const model = tfl.sequential({ layers });
  onTestFinished(() => void model.dispose());
  return model;
}

test("moving means of another model, whose names tfjs counts on, are found by their order", async () => {
  const [first, second] = [normalization(), normalization()];
  tf.tidy(() => void first.apply(tf.tensor2d([1, 2, 3, -2], [2, 2]), { training: true }));
  const saved = await variablesState(first.nonTrainableWeights).stateDict();
  expect(second.nonTrainableWeights.map(({ name }) => name)).not.toEqual(Object.keys(saved));
  variablesState(second.nonTrainableWeights).loadStateDict(saved);
  // The mean from 0 halfway to 2 and 0; the variance from 1 halfway to 1 and 4.
  expect(second.nonTrainableWeights.map((weight) => Array.from(weight.read().dataSync()))).toEqual([
    [1, 0],
    [1, 2.5],
  ]);
});

test("what does not fit is refused, and nothing has changed", async () => {
  const all = variables();
  const state = variablesState(all);
  const good = await state.stateDict();
  const load = async (changed: object) =>
    refusal(() => {
      state.loadStateDict({ ...good, ...changed });
    });
  expect(await load({ a: { shape: [4], values: new Float32Array(4) } })).toMatchObject({
    code: "state-mismatch",
    mismatched: ["a [4] of 4"],
    message: expect.stringContaining("variablesState.loadStateDict: expected a [2,2], b []") as string,
  });
  expect(await load({ a: { shape: [2, 2], values: new Float32Array(3) } })).toMatchObject({
    mismatched: ["a [2,2] of 3"],
  });
  expect(await load({ c: good["a"] })).toMatchObject({ code: "state-mismatch", unexpected: ["c"] });
  expect(await load({ a: [1, 2, 3, 4] })).toMatchObject({ code: "invalid-state" });
  expect(await load({ a: { shape: [2, 2], values: [1, 2, 3, 4] } })).toMatchObject({ code: "invalid-state" });
  expect(
    await refusal(() => {
      state.loadStateDict({ b: good["b"] });
    }),
  ).toMatchObject({ missing: ["a"] });
  expect(await valuesOf(all)).toEqual([[1, 2, 3, 4], [5]]);

  all.b.dispose();
  expect(await load({})).toMatchObject({ code: "invalid-parameter" });
  expect(await refusal(() => state.stateDict())).toMatchObject({ code: "invalid-parameter" });
  expect((await valuesOf({ a: all.a }))[0]).toEqual([1, 2, 3, 4]);
});

test("only variables of float32 that are alive, each once, are taken", async () => {
  const whole = tf.variable(tf.tensor1d([1], "int32"));
  const { a } = variables();
  expect(await refusal(() => variablesState({ whole }))).toMatchObject({ code: "invalid-parameter" });
  expect(await refusal(() => variablesState([a, a]))).toMatchObject({ code: "duplicate-parameter" });
  expect(await refusal(() => variablesState({ a: tf.scalar(1) as tf.Variable }))).toMatchObject({
    code: "invalid-parameter",
  });
  whole.dispose();
});
