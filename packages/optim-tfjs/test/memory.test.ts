import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adamw, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { paths, use } from "./backends.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

const settings: readonly (readonly [string, OptimWrapperOptions])[] = [
  ["plain", {}],
  ["windows of 3, clipped by norm", { accumulativeCounts: 3, clipGrad: { maxNorm: 1 } }],
  [
    "a dynamic loss scale, clipped by value",
    { lossScale: { growthInterval: 5 }, clipGrad: { type: "value", clipValue: 1 } },
  ],
  ["skipping, with the norm measured", { onNonFinite: "skip", gradNorm: true }],
];

/** A small regression y = xW + b, with the shapes of a layer. */
function regression(): {
  readonly variables: { readonly w: tf.Variable; readonly b: tf.Variable };
  readonly loss: () => tf.Scalar;
} {
  const w = tf.variable(tf.tensor2d([0.5, -0.5, 0.25, 1, 0, -1], [3, 2]));
  const b = tf.variable(tf.tensor1d([0.1, -0.1]));
  const loss = (): tf.Scalar => {
    const x = tf.tensor2d([1, 2, 3, -1, 0.5, 2], [2, 3]);
    const y = tf.tensor2d([1, 0, 0, 1], [2, 2]);
    return tf.mean(tf.squaredDifference(tf.add(tf.matMul(x, w), b), y));
  };
  return { variables: { w, b }, loss };
}

const usage = (): { numTensors: number; numBytes: number } => {
  const { numTensors, numBytes } = tf.memory();
  return { numTensors, numBytes };
};

describe.each(paths)("$name", (path) => {
  test.each(settings)("tensors and bytes stay where they are, %s", async (_, options) => {
    await use(path);
    const { variables, loss } = regression();
    const wrapper = createOptimWrapper(tfjsOptimizer(adamw({ lr: 1e-3 }), variables, path.options), options);
    const window = wrapper.accumulativeCounts;
    for (let update = 0; update < 2 * window; update += 1) wrapper.updateParams(loss);
    const before = usage();
    const seen = new Set<string>();
    for (let update = 0; update < 1000 * window; update += 1) {
      wrapper.updateParams(loss);
      // In mid-window too: accumulators are overwritten, not made anew.
      seen.add(JSON.stringify(usage()));
    }
    expect([...seen]).toEqual([JSON.stringify(before)]);
    wrapper.dispose();
  });

  test("a closure that throws leaves nothing behind", async () => {
    await use(path);
    const { variables, loss } = regression();
    const wrapper = createOptimWrapper(tfjsOptimizer(adamw({ lr: 1e-3 }), variables, path.options), {
      accumulativeCounts: 2,
    });
    const failing = (): tf.Scalar => {
      // Tensors that tfjs saves for a backward pass that never comes: the inputs of the product.
      tf.matMul(tf.ones([2, 3]), variables.w);
      loss();
      throw new RangeError("no data");
    };
    for (let update = 0; update < 3; update += 1) wrapper.updateParams(loss);
    const before = usage();
    for (let update = 0; update < 100; update += 1) {
      expect(() => wrapper.updateParams(failing)).toThrow(RangeError);
      expect(usage()).toEqual(before);
    }
    expect(wrapper.innerCount).toBe(3);
    wrapper.updateParams(loss);
    expect(usage()).toEqual(before);
    wrapper.dispose();
  });

  test("only a loss that was asked for comes back, and it is the caller's", async () => {
    await use(path);
    const { variables, loss } = regression();
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 0 }), variables, path.options), {
      lossScale: 1024,
    });
    for (let update = 0; update < 2; update += 1) wrapper.updateParams(loss);
    const before = usage();
    const expected = tf.tidy(() => loss().dataSync()[0]);
    const { loss: value } = wrapper.updateParams(loss, { returnLoss: true });
    // Neither divided by a window nor multiplied by 1024.
    expect(value.dataSync()[0]).toBe(expected);
    expect(usage().numTensors).toBe(before.numTensors + 1);
    value.dispose();
    expect(usage()).toEqual(before);
    wrapper.dispose();
  });

  test("a tidy of the caller takes neither state nor gradients away", async () => {
    await use(path);
    const { variables, loss } = regression();
    const wrapper = createOptimWrapper(tfjsOptimizer(adamw({ lr: 0.1 }), variables, path.options), {
      accumulativeCounts: 2,
      lossScale: "dynamic",
      clipGrad: { maxNorm: 1 },
    });
    const other = regression();
    const untidied = createOptimWrapper(tfjsOptimizer(adamw({ lr: 0.1 }), other.variables, path.options), {
      accumulativeCounts: 2,
      lossScale: "dynamic",
      clipGrad: { maxNorm: 1 },
    });
    for (let update = 0; update < 6; update += 1) {
      tf.tidy(() => {
        // The returned loss belongs to the tidy, which frees it.
        wrapper.updateParams(loss, { returnLoss: true });
      });
      untidied.updateParams(other.loss);
    }
    expect(variables.w.dataSync()).toEqual(other.variables.w.dataSync());
    const before = usage();
    tf.tidy(() => {
      wrapper.updateParams(loss, { returnLoss: true });
    });
    wrapper.updateParams(loss);
    expect(usage()).toEqual(before);
    wrapper.dispose();
    untidied.dispose();
  });

  test("dispose frees everything but the variables", async () => {
    await use(path);
    const { variables, loss } = regression();
    const before = usage();
    const wrapper = createOptimWrapper(
      tfjsOptimizer(adamw({ lr: 1e-3, amsgrad: true }), variables, path.options),
      {
        lossScale: "dynamic",
        clipGrad: { maxNorm: 1 },
      },
    );
    for (let update = 0; update < 3; update += 1) wrapper.updateParams(loss);
    await wrapper.loadStateDict(await wrapper.stateDict());
    wrapper.updateParams(loss);
    wrapper.dispose();
    expect(usage()).toEqual(before);
    expect(variables.w.isDisposed).toBe(false);
  });

  test("a load frees the scalars that it replaces", async () => {
    await use(path);
    const { variables, loss } = regression();
    const wrapper = createOptimWrapper(tfjsOptimizer(adamw({ lr: 1e-3 }), variables, path.options), {
      lossScale: "dynamic",
    });
    for (let update = 0; update < 2; update += 1) wrapper.updateParams(loss);
    const state = await wrapper.stateDict();
    for (let update = 0; update < 2; update += 1) wrapper.updateParams(loss);
    const before = usage();
    for (let load = 0; load < 5; load += 1) {
      await wrapper.loadStateDict(state);
      for (let update = 0; update < 2; update += 1) wrapper.updateParams(loss);
      expect(usage()).toEqual(before);
    }
    wrapper.dispose();
  });
});

describe.each(paths)("$name: what goes wrong", (path) => {
  const made = (options: OptimWrapperOptions = {}) => {
    const { variables, loss } = regression();
    const optimizer = tfjsOptimizer(sgd({ lr: 0.1 }), variables, path.options);
    return { variables, loss, wrapper: createOptimWrapper(optimizer, options) };
  };

  test("a loss that was disposed is refused", async () => {
    await use(path);
    const { loss, wrapper } = made();
    for (let update = 0; update < 2; update += 1) wrapper.updateParams(loss);
    const before = usage();
    const freed = (): tf.Scalar => {
      const value = loss();
      value.dispose();
      return value;
    };
    for (const returnLoss of [false, true]) {
      expect(thrownBy(() => wrapper.backward(freed, { returnLoss })).code).toBe("invalid-loss");
      expect(usage()).toEqual(before);
    }
    wrapper.dispose();
  });

  test("a loss scaler that was disposed in mid-window refuses the step before anything changes", async () => {
    await use(path);
    const { variables, loss } = regression();
    const optimizer = tfjsOptimizer(sgd({ lr: 0.1 }), variables, path.options);
    const lossScale = optimizer.createLossScaler("dynamic");
    const wrapper = createOptimWrapper(optimizer, { lossScale });
    wrapper.backward(loss);
    const values = variables.w.dataSync().slice();
    lossScale.dispose();
    const before = usage();
    expect(thrownBy(() => wrapper.step()).code).toBe("disposed");
    expect(usage()).toEqual(before);
    expect(variables.w.dataSync()).toEqual(values);
    wrapper.dispose();
  });

  test("variables that were disposed are neither written nor read, nor are those beside them", async () => {
    await use(path);
    const { variables, wrapper } = made();
    const values = variables.w.dataSync().slice();
    variables.b.dispose();
    const before = usage();
    const tensors = { w: new Float32Array(6), b: new Float32Array(2) };
    expect(thrownBy(() => wrapper.optimizer.writeParameters(tensors)).code).toBe("invalid-parameter");
    expect(variables.w.dataSync()).toEqual(values);
    await expect(wrapper.optimizer.readParameters()).rejects.toMatchObject({ code: "invalid-parameter" });
    expect(usage()).toEqual(before);
    wrapper.dispose();
  });
});

// On a device the step cannot throw: the next read rejects, and the loss is the caller's.
test.each(paths.filter(({ inPlace }) => inPlace))(
  "$name: the loss of an update whose step throws is freed",
  async (path) => {
    await use(path);
    const { variables, loss } = regression();
    const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.1 }), variables, path.options), {
      onNonFinite: "throw",
    });
    const broken = (): tf.Scalar => tf.mul(loss(), Number.NaN);
    for (let update = 0; update < 2; update += 1) wrapper.updateParams(loss);
    const before = usage();
    for (let update = 0; update < 3; update += 1) {
      const failing = () => wrapper.updateParams(broken, { returnLoss: true });
      expect(thrownBy(failing).code).toBe("non-finite-gradient");
      wrapper.zeroGrad();
      expect(usage()).toEqual(before);
    }
    wrapper.dispose();
  },
);
