import { createOptimWrapper, type OptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adamw, muon } from "@mm/optim-rules";
import { type TfjsLoss, tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { describe, expect, test } from "vitest";
import { distance } from "../../../test-support/numbers.ts";
import { type ExecutionPath, paths, use } from "./backends.ts";

type Wrapper = OptimWrapper<TfjsLoss, tf.Scalar>;

/** Images of 6 × 6, in which a bar is upright or lies: which of the two? */
function bars(): { readonly x: tf.Tensor4D; readonly y: tf.Tensor2D } {
  const images = Array.from({ length: 12 }, (_, index) => {
    const [upright, place] = [index % 2 === 0, Math.floor(index / 2)];
    return Array.from({ length: 36 }, (__, at) => Number((upright ? at % 6 : Math.floor(at / 6)) === place));
  });
  return {
    x: tf.tensor4d(images.flat(), [12, 6, 6, 1]),
    y: tf.tensor2d(
      images.flatMap((_, index) => [Number(index % 2 === 0), index % 2]),
      [12, 2],
    ),
  };
}

/** A small network that begins with the same weights everywhere: convolutional, but on tfjs-wasm, which cannot train a convolution's kernel. */
function network({ backend }: ExecutionPath): tfl.Sequential {
  const initializer = (seed: number) => tfl.initializers.glorotUniform({ seed });
  const dense = (units: number, name: string, seed: number, activation: "relu" | "softmax" = "relu") =>
    tfl.layers.dense({ units, name, activation, kernelInitializer: initializer(seed) });
  const kernel = {
    filters: 4,
    kernelSize: 3,
    activation: "relu",
    kernelInitializer: initializer(1),
  } as const;
  const inputShape = [6, 6, 1];
  const first =
    backend === "wasm"
      ? [tfl.layers.flatten({ inputShape }), dense(10, "first", 1)]
      : [tfl.layers.conv2d({ inputShape, ...kernel, name: "first" }), tfl.layers.flatten()];
  return tfl.sequential({ layers: [...first, dense(8, "hidden", 2), dense(2, "head", 3, "softmax")] });
}

interface Training {
  readonly model: tfl.Sequential;
  readonly wrapper: Wrapper;
  /** The loss of an update. */
  update(broken?: boolean): number;
  values(): readonly Float32Array[];
  dispose(): void;
}

async function training(path: ExecutionPath, options: OptimWrapperOptions = {}): Promise<Training> {
  await use(path);
  const model = network(path);
  const { x, y } = bars();
  const kernel = (layer: string) => model.getLayer(layer).trainableWeights[0]!;
  const hidden = { first: kernel("first"), hidden: kernel("hidden") };
  const rest = Object.fromEntries(
    ["first", "hidden", "head"].flatMap((layer) =>
      model
        .getLayer(layer)
        .trainableWeights.map(
          (weight, index) => [`${layer}.${index === 0 ? "kernel" : "bias"}`, weight] as const,
        )
        .filter(([, weight]) => !Object.values(hidden).includes(weight)),
    ),
  );
  const optimizer = tfjsOptimizer(
    adamw({ lr: 0.02 }),
    [
      { name: "hidden", params: hidden, rule: muon({ lr: 0.05 }) },
      { name: "rest", params: rest },
    ],
    path.options,
  );
  const wrapper = createOptimWrapper(optimizer, options);
  return {
    model,
    wrapper,
    update(broken = false) {
      const { loss } = wrapper.updateParams(
        () => {
          const output = model.apply(x, { training: true }) as tf.Tensor;
          const mean = tf.mean<tf.Scalar>(tfl.metrics.categoricalCrossentropy(y, output));
          return broken ? tf.mul(mean, Number.NaN) : mean;
        },
        { returnLoss: true },
      );
      const value = loss.dataSync()[0] as number;
      loss.dispose();
      return value;
    },
    values: () => model.getWeights().map((weight) => weight.dataSync<"float32">().slice()),
    dispose() {
      wrapper.dispose();
      model.dispose();
      tf.dispose([x, y]);
    },
  };
}

/** In place, and by ops. */
const pathsOf = (backend: string): [ExecutionPath, ExecutionPath] =>
  paths.filter((path) => path.backend === backend) as [ExecutionPath, ExecutionPath];
const backends = ["wasm", "cpu"];

/** The largest difference of any weight. */
const apart = (a: Training, b: Training): number =>
  Math.max(...b.values().map((values, index) => distance(a.values()[index]!, values)));

const settings: readonly (readonly [string, OptimWrapperOptions])[] = [
  ["plain", {}],
  ["windows of 2, clipped by norm", { accumulativeCounts: 2, clipGrad: { maxNorm: 1 } }],
  ["a dynamic loss scale, a step in five skipped", { lossScale: { initScale: 1024, growthInterval: 3 } }],
];

describe("Muon for the hidden kernels of a layers model, AdamW for the rest, in one optimizer", () => {
  test.each(
    backends.flatMap((backend) => settings.map(([name, options]) => [backend, name, options] as const)),
  )("on tfjs-%s trains in place and by ops to the same loss: %s", async (backend, _, options) => {
    const losses: number[][] = [];
    const skipped: number[] = [];
    for (const path of pathsOf(backend)) {
      const run = await training(path, options);
      const breaks = "lossScale" in options;
      losses.push(Array.from({ length: 40 }, (__, step) => run.update(breaks && step % 5 === 3)));
      skipped.push((await run.wrapper.readMetrics()).skipped);
      run.dispose();
    }
    const [first, second] = losses.map((all) => all.filter((loss) => !Number.isNaN(loss))) as [
      number[],
      number[],
    ];
    expect(first.at(-1)!).toBeLessThan(0.5 * first[0]!);
    // 1e-4 of the rate 0.05 for each orthogonalized step, and what the network makes of it.
    expect(distance(second, first)).toBeLessThanOrEqual(1e-4);
    expect(skipped).toEqual("lossScale" in options ? [8, 8] : [0, 0]);
  });

  test.each(paths)("$name: a frozen layer stays, and goes on when it is set free", async (path) => {
    const run = await training(path);
    const kernel = (): Float32Array =>
      run.model.getLayer("hidden").getWeights()[0]!.dataSync<"float32">().slice();
    run.update();
    const before = kernel();
    run.model.getLayer("hidden").trainable = false;
    for (const weight of run.model.getLayer("hidden").weights)
      (weight.read() as tf.Variable).trainable = false;
    run.update();
    run.update();
    expect(kernel()).toEqual(before);
    for (const weight of run.model.getLayer("hidden").weights)
      (weight.read() as tf.Variable).trainable = true;
    run.model.getLayer("hidden").trainable = true;
    run.update();
    expect(distance(kernel(), before)).toBeGreaterThan(1e-4);
    run.dispose();
  });

  test.each(
    backends.flatMap((backend) => {
      const [inPlace, byOps] = pathsOf(backend);
      return [
        [backend, "in place, goes on by ops", inPlace, byOps],
        [backend, "by ops, goes on in place", byOps, inPlace],
      ] as const;
    }),
  )("on tfjs-%s a state that was saved %s", async (_, __, from, to) => {
    const first = await training(from, { accumulativeCounts: 2 });
    const second = await training(to, { accumulativeCounts: 2 });
    // In mid-window.
    for (let step = 0; step < 5; step += 1) first.update();
    const state = await first.wrapper.stateDict();
    await second.wrapper.loadStateDict(state);
    second.model.setWeights(first.model.getWeights());
    expect((await second.wrapper.stateDict()).optimizer).toEqual(state.optimizer);
    for (let step = 0; step < 5; step += 1) expect(second.update()).toBeCloseTo(first.update(), 5);
    expect(apart(second, first)).toBeLessThanOrEqual(1e-5);
    for (const run of [first, second]) run.dispose();
  });

  test.each(paths)("$name: tensors and bytes stay where they are, and dispose frees them", async (path) => {
    await use(path);
    const usage = (): object => ({ tensors: tf.memory().numTensors, bytes: tf.memory().numBytes });
    const begun = usage();
    const run = await training(path, { lossScale: "dynamic", clipGrad: { maxNorm: 1 } });
    for (let step = 0; step < 3; step += 1) run.update();
    const before = usage();
    for (let step = 0; step < 40; step += 1) {
      run.update(step % 7 === 3);
      expect(usage()).toEqual(before);
    }
    run.dispose();
    expect(usage()).toEqual(begun);
  });
});
