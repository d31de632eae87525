import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adamw, asgd, sgd } from "@mm/optim-rules";
import {
  registerTfOptimizer,
  tfjsOptimizer,
  type TfjsWrapper,
  type TfOptimizer,
  toTfOptimizer,
} from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { afterEach, describe, expect, test } from "vitest";
import { type ExecutionPath, paths, use } from "./backends.ts";
import { classifier, irises, values } from "./iris.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

const loss = "categoricalCrossentropy";
// 150 flowers are 5 batches, of which the last holds 22.
const batchSize = 32;
const order = { batchSize, shuffle: false, verbose: 0 } as const;

const settings: readonly (readonly [string, OptimWrapperOptions])[] = [
  ["plain", {}],
  ["windows of 3, clipped by norm", { accumulativeCounts: 3, clipGrad: { maxNorm: 0.5 } }],
  ["a dynamic loss scale, clipped by value", { lossScale: { growthInterval: 4 }, clipGrad: byValue() }],
];

function byValue(): OptimWrapperOptions["clipGrad"] {
  return { type: "value", clipValue: 0.05 };
}

const creator =
  (path: Pick<ExecutionPath, "options">, options: OptimWrapperOptions = {}) =>
  (variables: readonly tf.Variable[]) =>
    createOptimWrapper(tfjsOptimizer(adamw({ lr: 0.02 }), variables, path.options), options);

/** The computation of `fit` for one batch after another, and its updates, by hand. */
function trainByHand(
  model: tfl.LayersModel,
  wrapper: TfjsWrapper,
  epochs: number,
  afterBatch: () => void = () => {},
): readonly number[] {
  const { x, y } = irises();
  const losses: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch += 1) {
    for (let start = 0; start < 150; start += batchSize) {
      const length = Math.min(batchSize, 150 - start);
      const result = wrapper.updateParams(
        () => {
          const output = model.apply(tf.slice(x, start, length), { training: true }) as tf.Tensor;
          return tf.mean(tfl.metrics.categoricalCrossentropy(tf.slice(y, start, length), output));
        },
        { returnLoss: true },
      );
      losses.push(result.loss.dataSync()[0] as number);
      result.loss.dispose();
      afterBatch();
    }
  }
  tf.dispose([x, y]);
  return losses;
}

/** A model that is saved into memory, and loaded from there. */
async function reloaded(model: tfl.LayersModel): Promise<tfl.LayersModel> {
  let saved: tf.io.ModelArtifacts | undefined;
  await model.save(
    tf.io.withSaveHandler((artifacts) => {
      saved = artifacts;
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } });
    }),
    { includeOptimizer: true },
  );
  return tfl.loadLayersModel(tf.io.fromMemory(saved as tf.io.ModelArtifacts));
}

// Everything of one test is freed at its end.
const kept: { dispose(): unknown }[] = [];
const keep = <T extends { dispose(): unknown }>(item: T): T => {
  kept.push(item);
  return item;
};
afterEach(() => {
  for (const item of kept.splice(0)) item.dispose();
});

describe.each(paths)("$name", (path) => {
  test.each(settings)("fit gives the numbers of a loop by hand to the bit, %s", async (_, options) => {
    await use(path);
    const { x, y } = irises();
    const [fitted, looped] = [keep(classifier()), keep(classifier())];
    const optimizer = keep(toTfOptimizer(creator(path, options)));
    fitted.compile({ optimizer, loss });
    const losses: number[] = [];
    const onBatchEnd = (_batch: number, logs?: tfl.Logs): void => void losses.push(logs?.["loss"] as number);
    const { history } = await fitted.fit(x, y, { ...order, epochs: 4, callbacks: { onBatchEnd } });

    const wrapper = keep(
      creator(path, options)(looped.trainableWeights.map((weight) => weight.read() as tf.Variable)),
    );
    expect(losses).toEqual(trainByHand(looped, wrapper, 4));
    expect(values(fitted)).toEqual(values(looped));
    // 4 epochs of 5 batches.
    expect(optimizer.iterations).toBe(20);
    const means = history["loss"] as number[];
    expect(means).toHaveLength(4);
    expect(means[3]).toBeLessThan(means[0] as number);
    tf.dispose([x, y]);
  });

  test.each(settings)("no tensor stays behind over a fit, %s", async (_, options) => {
    await use(path);
    const { x, y } = irises();
    const model = keep(classifier());
    const start = tf.memory().numTensors;
    const optimizer = toTfOptimizer(creator(path, options));
    model.compile({ optimizer, loss, metrics: ["accuracy"] });
    const counts: number[] = [];
    const onEpochEnd = (): void => void counts.push(tf.memory().numTensors);
    const fit = { ...order, epochs: 6, validationSplit: 0.2, callbacks: { onEpochEnd } };
    await model.fit(x, y, fit);
    const after = tf.memory().numTensors;
    await model.fit(x, y, fit);
    expect(tf.memory().numTensors).toBe(after);
    // The epochs of both fits, but for the first, which makes slots: all the same.
    expect(new Set([...counts.slice(1, 6), ...counts.slice(7)]).size).toBe(1);
    optimizer.dispose();
    optimizer.dispose();
    expect(tf.memory().numTensors).toBe(start);
    tf.dispose([x, y]);
  });

  test.each(settings)(
    "a model that is saved and loaded trains on as if it had not been, %s",
    async (_, options) => {
      await use(path);
      const { x, y } = irises();
      const name = "IrisOptimizer";
      const create = creator(path, options);
      const [whole, first] = [keep(classifier()), keep(classifier())];
      whole.compile({ optimizer: keep(toTfOptimizer(create, { name })), loss });
      first.compile({ optimizer: keep(toTfOptimizer(create, { name })), loss });
      await whole.fit(x, y, { ...order, epochs: 4 });
      // 2 epochs of 5 batches: a window of 3 is open, and holds the gradient of one batch.
      await first.fit(x, y, { ...order, epochs: 2 });

      registerTfOptimizer(create, { name });
      const second = keep(await reloaded(first));
      const optimizer = keep(second.optimizer) as TfOptimizer;
      expect(second.optimizer).not.toBe(first.optimizer);
      expect(optimizer.wrapper).toBeUndefined();
      expect(optimizer.iterations).toBe(10);
      await second.fit(x, y, { ...order, epochs: 2 });
      expect(values(second)).toEqual(values(whole));
      expect(await optimizer.wrapper?.readMetrics()).toEqual(
        await (whole.optimizer as TfOptimizer).wrapper?.readMetrics(),
      );
      tf.dispose([x, y]);
    },
  );
});

describe("callbacks", () => {
  const [path] = paths as readonly [ExecutionPath];

  test("one of fit drives the learning rate, as a scheduler in a loop does", async () => {
    await use(path);
    const { x, y } = irises();
    // Linear over 20 batches, 0.02 to 0.
    const rate = (batches: number): number => 0.02 * (1 - batches / 20);
    const [fitted, looped] = [keep(classifier()), keep(classifier())];
    const optimizer = keep(toTfOptimizer(creator(path)));
    fitted.compile({ optimizer, loss });
    const rates: number[] = [];
    class Linear extends tfl.Callback {
      override onBatchEnd(): Promise<void> {
        // A callback finds the optimizer in the model, as one of tfjs does.
        const { wrapper, iterations } = this.model.optimizer as TfOptimizer;
        for (const group of wrapper?.paramGroups ?? []) group.lr = rate(iterations);
        rates.push(...(wrapper?.getLr().lr ?? []));
        return Promise.resolve();
      }
    }
    await fitted.fit(x, y, { ...order, epochs: 4, callbacks: new Linear() });
    expect(rates).toHaveLength(20);
    expect(rates.at(-1)).toBe(0);

    const wrapper = keep(
      creator(path)(looped.trainableWeights.map((weight) => weight.read() as tf.Variable)),
    );
    trainByHand(looped, wrapper, 4, () => {
      wrapper.paramGroups[0].lr = rate(wrapper.innerCount);
    });
    expect(values(fitted)).toEqual(values(looped));
    tf.dispose([x, y]);
  });

  test("what the closure over `create` holds can act from the first batch on; an epoch ends its window", async () => {
    await use(path);
    const { x, y } = irises();
    const model = keep(classifier());
    let wrapper: TfjsWrapper | undefined;
    const optimizer = keep(
      toTfOptimizer((variables) => (wrapper = creator(path, { accumulativeCounts: 3 })(variables))),
    );
    model.compile({ optimizer, loss });
    const steps: (number | undefined)[] = [];
    await model.fit(x, y, {
      ...order,
      epochs: 2,
      callbacks: {
        async onEpochEnd() {
          wrapper?.flush();
          steps.push((await wrapper?.readMetrics())?.steps);
        },
      },
    });
    expect(optimizer.wrapper).toBe(wrapper);
    // 5 batches are a window of 3 and one of 2. The next epoch ends the window that begins at 5 at 6, and then has 6 to 9, and 10.
    expect(steps).toEqual([2, 5]);
    tf.dispose([x, y]);
  });

  test("layers that are frozen are left alone, and train on when they are not any more", async () => {
    await use(path);
    const { x, y } = irises();
    const model = keep(classifier());
    const optimizer = keep(toTfOptimizer(creator(path)));
    const [body, head] = model.layers as [tfl.layers.Layer, tfl.layers.Layer];
    const fit = async (trainable: boolean): Promise<readonly boolean[]> => {
      body.trainable = trainable;
      model.compile({ optimizer, loss });
      const before = [...values(body), ...values(head)];
      await model.fit(x, y, { ...order, epochs: 1 });
      const after = [...values(body), ...values(head)];
      return after.map((weight, index) => weight.some((value, at) => value !== before[index]?.[at]));
    };
    expect(await fit(true)).toEqual([true, true, true, true]);
    // Kernel and bias of the body stay, also by weight decay and momentum.
    expect(await fit(false)).toEqual([false, false, true, true]);
    expect(await fit(true)).toEqual([true, true, true, true]);
    const steps = (await optimizer.wrapper?.stateDict())?.optimizer.params.map(({ step }) => step);
    expect(steps).toEqual([10, 10, 15, 15]);

    // The other way round the body joins when it is trained for the first time.
    const late = keep(toTfOptimizer(creator(path)));
    body.trainable = false;
    model.compile({ optimizer: late, loss });
    await model.fit(x, y, { ...order, epochs: 1 });
    body.trainable = true;
    model.compile({ optimizer: late, loss });
    await model.fit(x, y, { ...order, epochs: 1 });
    const joined = (await late.wrapper?.stateDict())?.optimizer;
    expect(joined?.params.map(({ step }) => step)).toEqual([10, 10, 5, 5]);
    expect(joined?.groups.map(({ params }) => params)).toEqual([
      head.trainableWeights.map(({ name }) => name),
      body.trainableWeights.map(({ name }) => name),
    ]);
    tf.dispose([x, y]);
  });

  test("early stopping, a history and trainOnBatch work", async () => {
    await use(path);
    const { x, y } = irises();
    const model = keep(classifier());
    model.compile({ optimizer: keep(toTfOptimizer(creator(path))), loss, metrics: ["accuracy"] });
    const { history, epoch } = await model.fit(x, y, {
      ...order,
      epochs: 50,
      callbacks: tfl.callbacks.earlyStopping({ monitor: "acc", patience: 3 }),
    });
    expect(epoch.length).toBeLessThan(50);
    expect(Object.keys(history).sort()).toEqual(["acc", "loss"]);
    expect(Math.max(...(history["acc"] as number[]))).toBeGreaterThan(0.9);
    const before = values(model);
    const [batchLoss] = (await model.trainOnBatch(x, y)) as number[];
    expect(batchLoss).toBeLessThan(1);
    expect(values(model)).not.toEqual(before);
    tf.dispose([x, y]);
  });
});

describe("a tf.Optimizer without a model", () => {
  const [, path] = paths as readonly [ExecutionPath, ExecutionPath];
  const pair = () => ({ a: keep(tf.variable(tf.tensor1d([1, 2]))), b: keep(tf.variable(tf.tensor1d([-1]))) });
  type Pair = ReturnType<typeof pair>;
  /** (a₀ + a₁) × 2 + b × 3: gradients 2, 2 and 3. */
  const linear =
    ({ a, b }: Pair) =>
    () =>
      tf.add<tf.Scalar>(tf.mul(tf.sum(a), 2), tf.mul(tf.sum(b), 3));
  const read = ({ a, b }: Pair): readonly number[] => [...a.dataSync(), ...b.dataSync()];
  const descent = (options: OptimWrapperOptions = {}) =>
    keep(toTfOptimizer((variables) => createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), variables), options)));

  test("is one to instanceof, and minimizes", async () => {
    await use(path);
    const variables = pair();
    const optimizer = descent();
    expect(optimizer instanceof tf.Optimizer).toBe(true);
    const value = optimizer.minimize(linear(variables), true, [variables.a, variables.b]);
    // 3 × 2 − 3, before the step.
    expect(value?.dataSync()[0]).toBe(3);
    value?.dispose();
    expect(read(variables)).toEqual([-1, 0, -4]);
    expect(optimizer.minimize(linear(variables), false, [variables.b, variables.a])).toBeNull();
    expect(read(variables)).toEqual([-3, -2, -7]);
    expect(optimizer.iterations).toBe(2);
  });

  test("without a list it takes the trainable float32 variables that have a gradient, and no others", async () => {
    await use(path);
    const variables = pair();
    const fixed = keep(tf.variable(tf.scalar(5), false));
    const count = keep(tf.variable(tf.scalar(5, "int32")));
    const elsewhere = keep(tf.variable(tf.scalar(5)));
    const optimizer = descent();
    optimizer.minimize(() => tf.add<tf.Scalar>(linear(variables)(), tf.mul(fixed, 7)));
    expect(read(variables)).toEqual([-1, 0, -4]);
    expect([fixed, count, elsewhere].map((variable) => variable.dataSync()[0])).toEqual([5, 5, 5]);
    const names = optimizer.wrapper?.optimizer.parameters.map(({ name }) => name);
    expect(names?.sort()).toEqual([variables.a.name, variables.b.name].sort());
  });

  test("of variables that a call leaves out none changes, also in a window", async () => {
    await use(path);
    const variables = pair();
    const optimizer = descent({ accumulativeCounts: 2 });
    const both = [variables.a, variables.b];
    optimizer.minimize(linear(variables), false, both);
    optimizer.minimize(linear(variables), false, [variables.b]);
    // Means over the window: a has 2 of one call, (2 + 0) / 2 = 1; b has (3 + 3) / 2 = 3.
    expect(read(variables)).toEqual([0, 1, -4]);
    expect(both.map(({ trainable }) => trainable)).toEqual([true, true]);
    expect(() =>
      optimizer.minimize(
        () => {
          throw new RangeError("no data");
        },
        false,
        [variables.b],
      ),
    ).toThrow(RangeError);
    expect(both.map(({ trainable }) => trainable)).toEqual([true, true]);
    // A call that throws is none: the window that begins here has two again.
    optimizer.minimize(linear(variables), false, both);
    expect(read(variables)).toEqual([0, 1, -4]);
  });

  test("applies gradients that it is given, by name or in a list, through the whole path", async () => {
    await use(path);
    const variables = pair();
    const optimizer = descent({ accumulativeCounts: 2, clipGrad: { type: "value", clipValue: 2.5 } });
    const { value, grads } = optimizer.computeGradients(linear(variables));
    const start = tf.memory().numTensors;
    optimizer.applyGradients(grads);
    // The same for a, and none for b.
    optimizer.applyGradients([
      { name: variables.a.name, tensor: grads[variables.a.name] as tf.Tensor },
      { name: variables.b.name, tensor: null as unknown as tf.Tensor },
    ]);
    // a: (2 + 2) / 2 = 2, b: 3 / 2 = 1.5; clipping at 2.5 leaves both.
    expect(read(variables)).toEqual([-1, 0, -2.5]);
    // b three times as much: (9 + 9) / 2 = 9, clipped to 2.5.
    const large = tf.tensor1d([9]);
    for (const _ of [1, 2]) optimizer.applyGradients({ [variables.b.name]: large });
    expect(read(variables)).toEqual([-1, 0, -5]);
    expect(grads[variables.a.name]?.isDisposed).toBe(false);
    // `large`, and nothing else.
    expect(tf.memory().numTensors).toBe(start + 1);
    tf.dispose([value, grads, large]);
    expect(thrownBy(() => optimizer.applyGradients({ nobody: variables.a })).code).toBe("unknown-parameter");
  });

  test("no gradient at all is no micro-batch, before the first one and in a window", async () => {
    await use(path);
    const variables = pair();
    const optimizer = descent({ accumulativeCounts: 2 });
    const none = null as unknown as tf.Tensor;
    const nothing = (): void => {
      optimizer.applyGradients({});
      optimizer.applyGradients([]);
      optimizer.applyGradients({ [variables.a.name]: none, [variables.b.name]: none });
    };
    nothing();
    expect(optimizer.wrapper).toBeUndefined();
    const gradient = keep(tf.tensor1d([1, 3]));
    optimizer.applyGradients({ [variables.a.name]: gradient });
    nothing();
    expect(optimizer.iterations).toBe(1);
    optimizer.applyGradients({ [variables.a.name]: gradient });
    // The mean of two equal gradients, from (1, 2).
    expect(read(variables)).toEqual([0, -1, -1]);
    optimizer.dispose();
    expect(thrownBy(() => optimizer.applyGradients({})).code).toBe("disposed");
  });

  test("what goes wrong is refused with a code", async () => {
    await use(path);
    const variables = pair();
    const other = keep(tf.variable(tf.tensor1d([1])));
    const optimizer = descent();
    optimizer.minimize(linear(variables), false, [variables.a, variables.b]);
    const before = read(variables);
    const frozen = thrownBy(() => {
      other.trainable = false;
      optimizer.minimize(linear(variables), false, [other]);
    });
    expect(frozen.code).toBe("no-gradient");
    expect(frozen.hint).toMatch(/compile/);
    expect(read(variables)).toEqual(before);

    const unwrapped = toTfOptimizer(((list: tf.Variable[]) => tfjsOptimizer(sgd(), list)) as unknown as (
      list: readonly tf.Variable[],
    ) => TfjsWrapper);
    expect(thrownBy(() => unwrapped.minimize(linear(variables))).code).toBe("invalid-wrapper");
    optimizer.dispose();
    expect(thrownBy(() => optimizer.minimize(linear(variables))).code).toBe("disposed");
    const unused = toTfOptimizer(() => {
      throw new Error("is not called");
    });
    unused.dispose();
    expect(thrownBy(() => unused.minimize(linear(variables))).code).toBe("disposed");
  });

  test.each([
    ["no function", undefined, {}, "invalid-option"],
    ["options that are none", () => {}, "fast", "invalid-option"],
    ["an option that nobody reads", () => {}, { nmae: "Mine" }, "unknown-option"],
    ["a name that tfjs changes when it loads", () => {}, { name: "my_optimizer" }, "invalid-option"],
    ["a name of tfjs's own", () => {}, { name: "Adam" }, "invalid-option"],
    ["an empty name", () => {}, { name: "" }, "invalid-option"],
    ["a name that is no string", () => {}, { name: 1 }, "invalid-option"],
  ])("%s is refused when the optimizer is made, and when it is registered", (_, create, options, code) => {
    const given = [create, options] as unknown as Parameters<typeof toTfOptimizer>;
    expect(thrownBy(() => toTfOptimizer(...given)).code).toBe(code);
    expect(thrownBy(() => registerTfOptimizer(...given)).code).toBe(code);
  });
});

describe("weights", () => {
  const [path] = paths as readonly [ExecutionPath];
  const averaged = (variables: readonly tf.Variable[]) =>
    createOptimWrapper(tfjsOptimizer(asgd({ lr: 0.1 }), variables), { lossScale: "dynamic" });
  const trained = async (create: (variables: readonly tf.Variable[]) => TfjsWrapper, epochs = 1) => {
    await use(path);
    const { x, y } = irises();
    const model = keep(classifier());
    const optimizer = keep(toTfOptimizer(create));
    model.compile({ optimizer, loss });
    await model.fit(x, y, { ...order, epochs });
    tf.dispose([x, y]);
    return { model, optimizer };
  };

  test("are the whole state, and go into an optimizer that has trained already", async () => {
    const [one, two] = [await trained(averaged, 2), await trained(averaged, 1)];
    const state = await one.optimizer.wrapper?.stateDict();
    const weights = await one.optimizer.getWeights();
    // Four variables with the slot `ax`, and the rest in one string.
    expect(weights.map(({ tensor }) => tensor.dtype)).toEqual([
      ...Array<string>(4).fill("float32"),
      "string",
    ]);
    await two.optimizer.setWeights(weights);
    const restored = await two.optimizer.wrapper?.stateDict();
    const names = two.optimizer.wrapper?.optimizer.parameters.map(({ name }) => name) ?? [];
    // The same network twice in one process: other names, the same state.
    expect(names).not.toEqual(state?.optimizer.params.map(({ name }) => name));
    expect(restored).toEqual({
      ...state,
      optimizer: {
        ...state?.optimizer,
        groups: state?.optimizer.groups.map((group) => ({ ...group, params: names })),
        params: state?.optimizer.params.map((parameter, index) => ({ ...parameter, name: names[index] })),
      },
    });
  });

  test("are empty before training, and a state that waits to be used can be saved again", async () => {
    const { optimizer } = await trained(averaged);
    const fresh = keep(toTfOptimizer(averaged));
    expect(await fresh.getWeights()).toEqual([]);
    const weights = await optimizer.getWeights();
    await fresh.setWeights(weights);
    const again = await fresh.getWeights();
    expect(again.map(({ name }) => name)).toEqual(weights.map(({ name }) => name));
    for (const [index, { tensor }] of again.entries()) {
      expect(tensor.dataSync()).toEqual(weights[index]?.tensor.dataSync());
    }
  });

  test("hold no more tensors than those of the last call, however often a model is saved", async () => {
    await use(path);
    const start = tf.memory().numTensors;
    const { model, optimizer } = await trained(averaged);
    registerTfOptimizer(averaged);
    const before = tf.memory().numTensors;
    const first = await optimizer.getWeights();
    expect(tf.memory().numTensors).toBe(before + 5);
    const parallel = await Promise.all([optimizer.getWeights(), optimizer.getWeights()]);
    // Neither of two that run at once frees what the other gives.
    expect(parallel.flat().some(({ tensor }) => tensor.isDisposed)).toBe(false);
    expect(first.every(({ tensor }) => tensor.isDisposed)).toBe(true);
    for (let round = 0; round < 3; round += 1) {
      const copy = await reloaded(model);
      copy.dispose();
      copy.optimizer.dispose();
      expect(tf.memory().numTensors).toBe(before + 5);
    }
    for (const item of kept.splice(0)) item.dispose();
    expect(tf.memory().numTensors).toBe(start);
  });

  test("of another network are refused when training begins, and nothing has changed", async () => {
    const { optimizer } = await trained(averaged);
    const weights = await optimizer.getWeights();
    const variables = [keep(tf.variable(tf.zeros([2])))];
    const made: TfjsWrapper[] = [];
    const other = keep(
      toTfOptimizer((list) => {
        const wrapper = averaged(list);
        made.push(wrapper);
        return wrapper;
      }),
    );
    await other.setWeights(weights);
    const start = tf.memory().numTensors;
    const refused = thrownBy(() =>
      other.minimize(() => tf.sum(variables[0] as tf.Variable), false, variables),
    );
    expect(refused.code).toBe("state-mismatch");
    expect(refused.missing).toEqual([variables[0]?.name]);
    expect([...(variables[0]?.dataSync() ?? [])]).toEqual([0, 0]);
    expect(tf.memory().numTensors).toBe(start);
    expect(made).toHaveLength(1);
    expect(thrownBy(() => made[0]?.zeroGrad()).code).toBe("disposed");
    expect(other.iterations).toBe(5);
  });

  test("that are not a wrapper's are refused", async () => {
    await use(path);
    const adam = keep(tf.train.adam());
    const w = keep(tf.variable(tf.zeros([2])));
    adam.minimize(() => tf.sum(w), false, [w]);
    const foreign = await adam.getWeights();
    const optimizer = keep(toTfOptimizer(averaged));
    const broken = keep(tf.tensor1d(["{", "}"], "string"));
    for (const weights of [[], foreign, [{ name: "optim-wrapper", tensor: broken }]]) {
      await expect(optimizer.setWeights(weights)).rejects.toMatchObject({ code: "invalid-state" });
    }
    foreign[0]?.tensor.dispose();
    expect(optimizer.iterations).toBe(0);
  });

  test("of a tf.train optimizer in a wrapper are its own state", async () => {
    const native = (variables: readonly tf.Variable[]) =>
      createOptimWrapper(tfjsOptimizer(tf.train.adam(0.02), variables), { clipGrad: { maxNorm: 1 } });
    await use(path);
    const { x, y } = irises();
    const [whole, first] = [await trained(native, 2), await trained(native, 1)];
    registerTfOptimizer(native);
    const second = keep(await reloaded(first.model));
    keep(second.optimizer);
    await second.fit(x, y, { ...order, epochs: 1 });
    expect(values(second)).toEqual(values(whole.model));
    tf.dispose([x, y]);
  });

  test("a model whose optimizer nobody registered is not loaded, and the error names it", async () => {
    await use(path);
    const model = keep(classifier());
    model.compile({ optimizer: keep(toTfOptimizer(averaged, { name: "Nobody" })), loss });
    await expect(reloaded(model)).rejects.toThrow(/Nobody.*\n.*\n.*registerClass/s);
  });
});
