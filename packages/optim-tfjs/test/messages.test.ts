// Messages say what to do: for each thing that people pass by mistake, the words that help.
import { createOptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, sgd } from "@mm/optim-rules";
import { tfjsOptimizer, type TfjsWrapper, toTfOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { beforeAll, describe, expect, test } from "vitest";
import { paths, use } from "./backends.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

beforeAll(async () => use(paths[1] as (typeof paths)[number]));

let made: tf.Variable | undefined;
const variable = (): tf.Variable => (made ??= tf.variable(tf.zeros([2])));
const wrapper = (): TfjsWrapper => createOptimWrapper(tfjsOptimizer(sgd(), [variable()]));
const model = (): tfl.Sequential =>
  tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [1] })] });
/** Callers without types. */
const untyped = <F>(call: F): ((...given: unknown[]) => unknown) =>
  call as unknown as (...given: unknown[]) => unknown;

test.each<readonly [string, () => unknown, RegExp]>([
  ["a tf.train optimizer", () => tf.train.adam(1e-3), /tfjsOptimizer\(tf\.train\.adam\(1e-3\), variables\)/],
  ["a rule", () => adam(), /tfjsOptimizer\(rule, variables\)/],
  ["a rule's factory", () => adam, /Call what makes it/],
  ["an optimizer of toTfOptimizer", () => toTfOptimizer(wrapper), /its variables first/],
])("createOptimWrapper is given %s", (_, given, hint) => {
  expect(thrownBy(() => untyped(createOptimWrapper)(given())).hint).toMatch(hint);
});

test.each<readonly [string, () => unknown, RegExp]>([
  ["an optimizer", () => tfjsOptimizer(sgd(), [variable()]), /^Wrap it in the function: createOptimWrapper/],
  ["a rule", () => sgd(), /^Give the rule its variables and wrap it/],
  ["a tf.train optimizer", () => tf.train.sgd(1), /tfjsOptimizer\(tf\.train\.adam\(1e-3\), variables\)/],
  ["an optimizer of toTfOptimizer", () => toTfOptimizer(wrapper), /wrap it/],
  ["a promise", () => Promise.resolve(wrapper()), /must be synchronous/],
  ["nothing", () => undefined, /^Return the wrapper from the function/],
])("the function of toTfOptimizer returns %s", (_, create, hint) => {
  const optimizer = untyped(toTfOptimizer)(create) as tf.Optimizer;
  const error = thrownBy(() => optimizer.minimize(() => tf.sum(variable()), false, [variable()]));
  expect(error.code).toBe("invalid-wrapper");
  expect(error.message).toMatch(/^OptimWrapper: minimize/);
  expect(error.hint).toMatch(hint);
});

test.each<readonly [string, () => unknown]>([
  ["a wrapper", wrapper],
  ["a rule", () => sgd()],
  ["an optimizer", () => tfjsOptimizer(sgd(), [variable()])],
])("toTfOptimizer is given %s in place of a function", (_, given) => {
  expect(thrownBy(() => untyped(toTfOptimizer)(given())).hint).toMatch(/known only when training begins/);
});

test.each<readonly [string, () => unknown, RegExp]>([
  [
    "a tf.train optimizer",
    () => tf.train.adam(),
    /^Wrap it first: createOptimWrapper\(tfjsOptimizer\(tf\.train/,
  ],
  ["an optimizer of toTfOptimizer", () => toTfOptimizer(wrapper), /first batch on: optimizer\.wrapper/],
  ["its wrapper before the first batch", () => toTfOptimizer(wrapper).wrapper, /from its first batch on/],
  ["an optimizer", () => tfjsOptimizer(sgd(), [variable()]), /createOptimWrapper\(optimizer\)/],
  ["a rule", () => sgd(), /^Give the rule its parameters and wrap it/],
])("a dict is given %s", (_, given, hint) => {
  const error = thrownBy(() => new OptimWrapperDict({ generator: given() as TfjsWrapper }));
  expect(error.code).toBe("invalid-wrapper");
  expect(error.message).toContain("generator");
  expect(error.hint).toMatch(hint);
});

describe("tfjsOptimizer is given", () => {
  test.each<readonly [string, () => unknown, RegExp]>([
    ["a model", model, /model\.trainableWeights/],
    ["a layer", () => model().layers[0], /model\.trainableWeights/],
    ["a list of models", () => [model(), model()], /\[\.\.\.a\.trainableWeights/],
    ["a record of models", () => ({ a: model() }), /model\.trainableWeights/],
    ["a group of a model", () => [{ params: model() }], /model\.trainableWeights/],
    ["a group of models", () => [{ params: [model()] }], /model\.trainableWeights/],
    ["a variable", variable, /\[variable\]/],
    ["a tensor", () => tf.zeros([2]), /tf\.variable\(tensor\)/],
    ["a list of tensors", () => [tf.zeros([2])], /tf\.variable\(tensor\)/],
    ["a list of a variable and a tensor", () => [variable(), tf.zeros([2])], /tf\.variable\(tensor\)/],
  ])("%s", (_, parameters, hint) => {
    const error = thrownBy(() => untyped(tfjsOptimizer)(sgd(), parameters()));
    expect(error.code).toBe("invalid-parameter");
    expect(error.message).toMatch(/^tfjsOptimizer/);
    expect(error.hint).toMatch(hint);
  });

  test.each([undefined, null, 3, "w"])("%j, and says so", (given) => {
    const error = thrownBy(() => untyped(tfjsOptimizer)(sgd(), given));
    expect(error.code).toBe("invalid-parameter");
    expect(error.received).toBe(given);
  });

  test.each<readonly [string, unknown, string]>([
    ["a parameter", { "": "variable" }, "a parameter with a name"],
    ["a group", [{ name: "", params: { w: "variable" } }], "a group with a name"],
  ])("%s with an empty name", (_, given, expected) => {
    const parameters = JSON.parse(JSON.stringify(given), (__, value: unknown) =>
      value === "variable" ? variable() : value,
    ) as unknown;
    const error = thrownBy(() => untyped(tfjsOptimizer)(sgd(), parameters));
    expect(error.code).toBe("invalid-name");
    expect(error.message).toMatch(new RegExp(`^tfjsOptimizer.*: expected ${expected}, got ""`));
  });
});

test.each<readonly [string, () => unknown, string, RegExp]>([
  ["an int32 scalar", () => tf.scalar(1, "int32"), "int32 tensor of shape []", /^Make it of float32 tensors/],
  ["a bool scalar", () => tf.scalar(true, "bool"), "bool tensor of shape []", /^Make it of float32 tensors/],
  ["losses of a batch", () => tf.square(variable()), "float32 tensor of shape [2]", /^Reduce it: tf\.mean/],
  ["one in a list", () => tf.zeros([1]), "float32 tensor of shape [1]", /^Reduce it: tf\.mean/],
])("a closure returns %s", (_, loss, received, hint) => {
  const error = thrownBy(() => wrapper().updateParams(loss as () => tf.Scalar));
  expect([error.code, error.received]).toEqual(["invalid-loss", received]);
  expect(error.hint).toMatch(hint);
});

test.each<readonly [string, () => unknown, RegExp]>([
  ["nothing", () => undefined, /^Return the loss: \(\) => loss/],
  ["a number", () => 3, /^Return the tensor, not its value/],
  ["a promise", () => Promise.reject(new Error("late")), /^Await the data first/],
])("a closure returns %s", (_, loss, hint) => {
  const error = thrownBy(() => wrapper().updateParams(loss as () => tf.Scalar));
  expect(error.code).toBe("invalid-loss");
  expect(error.hint).toMatch(hint);
});
