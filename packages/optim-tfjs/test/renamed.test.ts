import { createOptimWrapper, type OptimWrapperStateDict } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, sgd } from "@mm/optim-rules";
import { renamed, tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { describe, expect, test } from "vitest";
import { pairedNames } from "../src/renamed.ts";
import { paths, use } from "./backends.ts";

const [path] = paths as readonly [(typeof paths)[number]];

describe("names of a state and of a wrapper", () => {
  test.each<readonly [string, readonly string[], readonly string[], readonly string[] | undefined]>([
    ["are the same in any order", ["a", "b"], ["b", "a"], ["a", "b"]],
    [
      "are counted on",
      ["dense_Dense1/kernel", "dense_Dense1/bias", "dense_Dense2/kernel"],
      ["dense_Dense9/bias", "dense_Dense9/kernel", "dense_Dense10/kernel"],
      ["dense_Dense9/kernel", "dense_Dense9/bias", "dense_Dense10/kernel"],
    ],
    [
      "overlap, where each is one further",
      ["dense_Dense1/kernel", "dense_Dense2/kernel"],
      ["dense_Dense2/kernel", "dense_Dense3/kernel"],
      ["dense_Dense2/kernel", "dense_Dense3/kernel"],
    ],
    [
      "stand in the order in which they were trained, not in that of the model",
      ["dense_Dense2/kernel", "dense_Dense1/kernel"],
      ["dense_Dense1/kernel_1", "dense_Dense2/kernel_1"],
      ["dense_Dense2/kernel_1", "dense_Dense1/kernel_1"],
    ],
    ["are more than there were", ["w1"], ["w1", "w2"], undefined],
    ["are of other layers", ["dense_Dense1/kernel"], ["conv2d_Conv2D1/kernel"], undefined],
    [
      "are of other weights of a layer",
      ["d_1/kernel", "d_1/bias"],
      ["d_2/kernel", "d_2/kernel_1"],
      undefined,
    ],
  ])("%s", (_, saved, present, expected) => {
    const names = pairedNames(saved, present);
    expect(names && saved.map((name) => names.get(name))).toEqual(expected);
  });

  test("where they do not correspond every name stays, and what is no state is left to the load", async () => {
    await use(path);
    const w = tf.variable(tf.zeros([2]));
    const optim = createOptimWrapper(tfjsOptimizer(sgd(), { w }));
    for (const state of [undefined, {}, { optimizer: null }]) {
      const rename = renamed(state as unknown as OptimWrapperStateDict, optim);
      expect(rename("b")).toBe("b");
      await expect(
        optim.loadStateDict(state as unknown as OptimWrapperStateDict, { rename }),
      ).rejects.toMatchObject({ code: "invalid-state" });
    }
    optim.dispose();
    w.dispose();
  });
});

/** A model as tf.loadLayersModel makes it: saved into memory and loaded. */
async function loadedAgain(model: tfl.LayersModel): Promise<tfl.LayersModel> {
  let saved: tf.io.ModelArtifacts | undefined;
  await model.save(
    tf.io.withSaveHandler((artifacts) => {
      saved = artifacts;
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } });
    }),
  );
  return tfl.loadLayersModel(tf.io.fromMemory(saved as tf.io.ModelArtifacts));
}

test("a dict over loaded models goes on to the bit", async () => {
  await use(path);
  const network = (seed: number): tfl.LayersModel =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({
          units: 2,
          inputShape: [2],
          kernelInitializer: tfl.initializers.glorotUniform({ seed }),
        }),
        tfl.layers.dense({
          units: 2,
          kernelInitializer: tfl.initializers.glorotUniform({ seed: seed + 1 }),
        }),
      ],
    });
  const models = { one: network(1), two: network(3) };
  const dictOf = ({ one, two }: typeof models) =>
    new OptimWrapperDict({
      one: createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), one.trainableWeights)),
      two: createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.1, momentum: 0.9 }), two.trainableWeights), {
        accumulativeCounts: 2,
      }),
    });
  const x = tf.tensor2d([[0.5, -1]]);
  const train = (dict: ReturnType<typeof dictOf>, { one, two }: typeof models, rounds: number): void => {
    for (let round = 0; round < rounds; round += 1) {
      dict.get("one").updateParams(() => tf.sum(tf.square(one.apply(x) as tf.Tensor)));
      dict.get("two").updateParams(() => tf.sum(tf.abs(two.apply(x) as tf.Tensor)));
    }
  };
  const values = ({ one, two }: typeof models) =>
    [one, two].flatMap((model) => model.getWeights().map((weight) => weight.dataSync().slice()));

  const first = dictOf(models);
  train(first, models, 3);
  const state = await first.stateDict();
  const loaded = { one: await loadedAgain(models.one), two: await loadedAgain(models.two) };
  expect(loaded.one.trainableWeights[0]?.name).not.toBe(models.one.trainableWeights[0]?.name);
  const second = dictOf(loaded);
  const parts: { readonly [name: string]: OptimWrapperStateDict } = state.wrappers;
  const report = await second.loadStateDict(state, {
    rename: (saved, name) => renamed(parts[name] as OptimWrapperStateDict, second.get(name))(saved),
  });
  expect(report).toEqual({ missing: [], unexpected: [], changed: [], defaulted: [] });
  train(first, models, 3);
  train(second, loaded, 3);
  expect(values(loaded)).toEqual(values(models));
  for (const item of [first, second, models.one, models.two, loaded.one, loaded.two, x]) item.dispose();
});
