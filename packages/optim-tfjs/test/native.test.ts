import { createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { beforeEach, describe, expect, test } from "vitest";
import { linearLoss, use } from "./backends.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

const optimizers: { readonly [name: string]: () => tf.Optimizer } = {
  sgd: () => tf.train.sgd(0.1),
  momentum: () => tf.train.momentum(0.1, 0.9),
  adam: () => tf.train.adam(0.1),
  adagrad: () => tf.train.adagrad(0.1),
  adadelta: () => tf.train.adadelta(0.1),
  rmsprop: () => tf.train.rmsprop(0.1, 0.9, 0.5),
  adamax: () => tf.train.adamax(0.1),
};

const pair = (): { readonly a: tf.Variable; readonly b: tf.Variable } => ({
  a: tf.variable(tf.tensor1d([1, 2])),
  b: tf.variable(tf.tensor1d([-1])),
});
type Pair = ReturnType<typeof pair>;

/** Σ (v − 3)² over both, whose gradients change as it trains. */
const loss =
  ({ a, b }: Pair) =>
  (): tf.Scalar =>
    tf.add(tf.sum(tf.squaredDifference(a, 3)), tf.sum(tf.squaredDifference(b, 3)));

const values = ({ a, b }: Pair): number[] => [...a.dataSync(), ...b.dataSync()];

describe.each([{ backend: "cpu" }, { backend: "wasm" }])("tfjs-$backend", (backend) => {
  beforeEach(() => use(backend));

  test.each(Object.entries(optimizers))("%s trains as minimize does", (_, make) => {
    const [ours, theirs] = [pair(), pair()];
    const wrapper = createOptimWrapper(tfjsOptimizer(make(), ours));
    const native = make();
    for (let step = 0; step < 5; step += 1) {
      wrapper.updateParams(loss(ours));
      native.minimize(loss(theirs), false, [theirs.a, theirs.b]);
    }
    expect(values(ours)).toEqual(values(theirs));
    wrapper.dispose();
    native.dispose();
  });

  test.each(Object.entries(optimizers))("%s: the learning rate is live", (_, make) => {
    const variables = pair();
    const wrapper = createOptimWrapper(tfjsOptimizer(make(), variables));
    expect(wrapper.getLr()).toEqual({ lr: [0.1] });
    wrapper.updateParams(loss(variables));
    const before = values(variables);
    // RMSProp's momentum goes on from the step before, so it is not 0 that it moves by, but half of that step.
    wrapper.paramGroups[0].lr = 1e-6;
    wrapper.updateParams(loss(variables));
    const moved = values(variables).map((value, index) => Math.abs(value - before[index]!));
    wrapper.paramGroups[0].lr = 0.1;
    wrapper.updateParams(loss(variables));
    const after = values(variables).map((value, index) => Math.abs(value - before[index]!));
    for (const [index, distance] of moved.entries()) expect(distance).toBeLessThan(after[index]!);
    wrapper.dispose();
  });

  test.each(Object.entries(optimizers))(
    "%s leaves tensors where they are, and disposes all of them",
    async (name, make) => {
      const variables = pair();
      const start = tf.memory().numTensors;
      const wrapper = createOptimWrapper(tfjsOptimizer(make(), variables), {
        accumulativeCounts: 2,
        clipGrad: { maxNorm: 1 },
        lossScale: "dynamic",
      });
      for (let update = 0; update < 4; update += 1) wrapper.updateParams(loss(variables));
      const before = tf.memory().numTensors;
      for (let update = 0; update < 40; update += 1) {
        wrapper.paramGroups[0].lr = 0.1 / (update + 1);
        wrapper.updateParams(loss(variables));
      }
      if (name !== "adamax") await wrapper.loadStateDict(await wrapper.stateDict());
      for (let update = 0; update < 2; update += 1) wrapper.updateParams(loss(variables));
      expect(tf.memory().numTensors).toBe(before);
      wrapper.dispose();
      expect(tf.memory().numTensors).toBe(start);
    },
  );

  test("windows, clipping and a loss scale: as our own rule", async () => {
    const [ours, theirs] = [pair(), pair()];
    const options = {
      accumulativeCounts: 2,
      clipGrad: { maxNorm: 0.5 },
      lossScale: { growthInterval: 2 },
    } as const;
    const native = createOptimWrapper(tfjsOptimizer(tf.train.sgd(0.1), ours), options);
    const rule = createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.1 }), theirs, { lowering: "ops" }), options);
    for (let update = 0; update < 12; update += 1) {
      // A missing gradient, and one that is not finite.
      const gradients = update % 4 === 0 ? { a: [1, 2] } : { a: [1, 2], b: [update === 7 ? Number.NaN : 3] };
      native.updateParams(linearLoss(ours, gradients));
      rule.updateParams(linearLoss(theirs, gradients));
    }
    for (const [index, value] of values(theirs).entries()) expect(values(ours)[index]).toBeCloseTo(value, 6);
    const { steps, skipped, lossScale } = await native.readMetrics();
    expect({ steps, skipped, lossScale }).toEqual({ steps: 5, skipped: 1, lossScale: 131072 });
    native.dispose();
    rule.dispose();
  });

  test("clips by value, and zeroes what is not finite", () => {
    const variables = pair();
    const byValue = createOptimWrapper(tfjsOptimizer(tf.train.sgd(1), variables), {
      clipGrad: { type: "value", clipValue: 0.25 },
    });
    byValue.updateParams(linearLoss(variables, { a: [0.125, -7], b: [7] }));
    expect(values(variables)).toEqual([0.875, 2.25, -1.25]);
    const zeroing = createOptimWrapper(tfjsOptimizer(tf.train.sgd(1), variables), { onNonFinite: "zero" });
    zeroing.updateParams(linearLoss(variables, { a: [Number.NaN, 1], b: [Number.POSITIVE_INFINITY] }));
    expect(values(variables)).toEqual([0.875, 1.25, -1.25]);
    byValue.dispose();
    zeroing.dispose();
  });

  test("decides on the host: throws in the step, and changes nothing", async () => {
    const variables = pair();
    const wrapper = createOptimWrapper(tfjsOptimizer(tf.train.adam(0.1), variables), {
      onNonFinite: "throw",
    });
    wrapper.updateParams(loss(variables));
    const [before, state] = [values(variables), (await wrapper.stateDict()).optimizer.native];
    const failing = thrownBy(() => wrapper.updateParams(linearLoss(variables, { a: [1, Number.NaN] })));
    expect(failing.code).toBe("non-finite-gradient");
    expect(values(variables)).toEqual(before);
    expect((await wrapper.stateDict()).optimizer.native).toEqual(state);
    wrapper.dispose();
  });

  test.each(Object.entries(optimizers).filter(([name]) => name !== "adamax"))(
    "%s resumes to the bit, in an optimizer that has not stepped",
    async (_, make) => {
      const variables = pair();
      const wrapper = createOptimWrapper(tfjsOptimizer(make(), variables), { accumulativeCounts: 2 });
      for (let update = 0; update < 7; update += 1) wrapper.updateParams(loss(variables));
      const reading = wrapper.stateDict();
      const resumed = { a: tf.variable(variables.a.clone()), b: tf.variable(variables.b.clone()) };
      // A state is as of the call, whatever is trained before it is there.
      for (let update = 0; update < 6; update += 1) wrapper.updateParams(loss(variables));
      const other = createOptimWrapper(tfjsOptimizer(make(), resumed), { accumulativeCounts: 2 });
      await other.loadStateDict(structuredClone(await reading));
      for (let update = 0; update < 6; update += 1) other.updateParams(loss(resumed));
      expect(values(resumed)).toEqual(values(variables));
      // And back, into one that has stepped further.
      await wrapper.loadStateDict(await other.stateDict());
      expect(await wrapper.stateDict()).toEqual(await other.stateDict());
      wrapper.dispose();
      other.dispose();
    },
  );
});

describe("what it cannot do", () => {
  beforeEach(() => use({ backend: "cpu" }));

  test("stands in its capabilities", () => {
    const optimizer = tfjsOptimizer(tf.train.adam(1e-3), pair());
    expect(optimizer.rule).toBe("tf.train Adam");
    expect(optimizer.capabilities).toEqual({
      decides: "host",
      fused: false,
      inPlace: false,
      rules: false,
      liveHyperparameters: false,
      groups: false,
      perParameterSteps: false,
      portableState: false,
      transfer: true,
      maxParameterLength: Number.POSITIVE_INFINITY,
    });
  });

  test("several groups are refused, at once and later", () => {
    const { a, b } = pair();
    expect(thrownBy(() => tfjsOptimizer(tf.train.sgd(1), [{ params: { a } }, { params: { b } }])).code).toBe(
      "unsupported",
    );
    const optimizer = tfjsOptimizer(tf.train.sgd(1), [{ name: "all", params: { a } }]);
    expect(thrownBy(() => optimizer.addParamGroup({ params: { b } })).code).toBe("unsupported");
    expect(optimizer.paramGroups.map(({ name }) => name)).toEqual(["all"]);
  });

  test("Adamax has no weights to get, so it has no state dict", async () => {
    const variables = pair();
    const wrapper = createOptimWrapper(tfjsOptimizer(tf.train.adamax(0.1), variables));
    wrapper.updateParams(loss(variables));
    await expect(wrapper.stateDict()).rejects.toMatchObject({ code: "unsupported" });
  });

  test("an optimizer that keeps its state elsewhere cannot be saved", async () => {
    class Hidden extends tf.SGDOptimizer {
      readonly #velocity = tf.variable(tf.zeros([2]));
      override async getWeights(): Promise<{ name: string; tensor: tf.Tensor }[]> {
        return [await this.saveIterations(), { name: "velocity", tensor: this.#velocity }];
      }
    }
    const wrapper = createOptimWrapper(tfjsOptimizer(new Hidden(0.1), pair()));
    await expect(wrapper.stateDict()).rejects.toMatchObject({ code: "unsupported" });
  });

  test("a state of something else is refused, and nothing has changed", async () => {
    const variables = pair();
    const adam = createOptimWrapper(tfjsOptimizer(tf.train.adam(0.1), variables));
    adam.updateParams(loss(variables));
    const state = await adam.stateDict();
    const own = createOptimWrapper(tfjsOptimizer(sgd(), variables));
    const momentum = createOptimWrapper(tfjsOptimizer(tf.train.momentum(0.1, 0.9), variables));
    for (const wrapper of [own, momentum]) {
      await expect(wrapper.loadStateDict(state)).rejects.toMatchObject({ code: "state-mismatch" });
      await expect(adam.loadStateDict(await wrapper.stateDict())).rejects.toMatchObject({
        code: "state-mismatch",
      });
    }
    const { native } = state.optimizer;
    for (const damaged of [
      { ...native, accBeta1: undefined },
      { ...native, accBeta1: Float32Array.of(1, 2) },
      { ...native, more: Float32Array.of(1) },
      { ...native, "accumulatedFirstMoment.1": undefined },
    ]) {
      const entries = Object.entries(damaged).filter(([, data]) => data !== undefined);
      const saved = {
        ...state,
        optimizer: { ...state.optimizer, native: Object.fromEntries(entries) as NonNullable<typeof native> },
      };
      await expect(adam.loadStateDict(saved)).rejects.toMatchObject({ code: "state-mismatch" });
    }
    expect(await adam.stateDict()).toEqual(state);
  });

  test("what differs of its own state is in the same error as all else; without strict it is reported, and stays", async () => {
    const variables = pair();
    const adam = createOptimWrapper(tfjsOptimizer(tf.train.adam(0.1), variables));
    adam.updateParams(loss(variables));
    const state = await adam.stateDict();
    const { accBeta1: _, ...native } = state.optimizer.native ?? {};
    const [a] = state.optimizer.params;
    const saved = { ...state, optimizer: { ...state.optimizer, params: [a!], native } };
    await expect(adam.loadStateDict(saved)).rejects.toMatchObject({
      code: "state-mismatch",
      missing: ["b"],
      mismatched: ["native.accBeta1"],
    });
    adam.updateParams(loss(variables));
    const { native: later } = (await adam.stateDict()).optimizer;
    const report = await adam.loadStateDict(saved, { strict: false });
    expect(report).toMatchObject({ missing: ["b"], unexpected: ["native.accBeta1"] });
    expect((await adam.stateDict()).optimizer.native).toEqual(later);
  });

  test("without a learning rate there is none to set", () => {
    const variables = pair();
    const native = {
      applyGradients: (gradients: { name: string; tensor: tf.Tensor }[]) => {
        for (const { name, tensor } of gradients) {
          const variable = tf.engine().registeredVariables[name]!;
          tf.tidy(() => variable.assign(tf.sub(variable, tensor)));
        }
      },
      getWeights: () => Promise.resolve([]),
      dispose() {},
    };
    const wrapper = createOptimWrapper(tfjsOptimizer(native as never, variables));
    wrapper.updateParams(linearLoss(variables, { a: [1, 1], b: [1] }));
    expect(values(variables)).toEqual([0, 1, -2]);
    expect(thrownBy(() => (wrapper.paramGroups[0].lr = 0.5)).code).toBe("invalid-hyperparameter");
  });
});
