import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adamw, sam, samAscent, sgd } from "@mm/optim-rules";
import { tfjsOptimizer, type TfjsWrapper, type TfOptimizer, toTfOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";
import { afterEach, describe, expect, test } from "vitest";
import { paths, use } from "./backends.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

const kept: { dispose(): unknown; readonly isDisposed?: boolean }[] = [];
const keep = <T extends { dispose(): unknown }>(item: T): T => {
  kept.push(item);
  return item;
};
afterEach(() => {
  for (const item of kept.splice(0)) if (item.isDisposed !== true) item.dispose();
});

const variable = (...values: readonly number[]): tf.Variable => keep(tf.variable(tf.tensor1d([...values])));
/** Σ factor × variable: the gradient of each variable is its factor, in every element. */
const sum =
  (...terms: readonly (readonly [tf.Variable, number])[]) =>
  (): tf.Scalar =>
    terms.map(([of, factor]) => tf.mul<tf.Scalar>(tf.sum(of), factor)).reduce((a, b) => tf.add(a, b));
const read = (...variables: readonly tf.Variable[]): readonly number[] =>
  variables.flatMap((one) => [...one.dataSync()]);
const namesIn = (optimizer: TfOptimizer): readonly (readonly string[])[] | undefined =>
  optimizer.wrapper?.paramGroups.map(({ params }) => params);

describe.each(paths)("$name", (path) => {
  const descent = (options: OptimWrapperOptions = {}) =>
    keep(
      toTfOptimizer((list) =>
        createOptimWrapper(tfjsOptimizer(sgd({ lr: 1, momentum: 0.5 }), list, path.options), options),
      ),
    );

  test("a variable that is made later trains from its first gradient on", async () => {
    await use(path);
    const a = variable(1);
    const optimizer = descent();
    optimizer.minimize(sum([a, 2]));
    expect(read(a)).toEqual([-1]);
    const b = variable(10, 20);
    let runs = 0;
    const value = optimizer.minimize(() => {
      runs += 1;
      return sum([a, 2], [b, 3])();
    }, true);
    // a: momentum 0.5 × 2 + 2 = 3; b: its first step is its gradient.
    expect(read(a, b)).toEqual([-4, 7, 17]);
    expect(runs).toBe(1);
    // −1 × 2 + 30 × 3, before the step.
    expect(value?.dataSync()[0]).toBe(88);
    value?.dispose();
    expect(namesIn(optimizer)).toEqual([[a.name], [b.name]]);
    expect(optimizer.iterations).toBe(2);
  });

  test("one that is disposed does not disturb the others, also in mid-window, and none stays behind", async () => {
    await use(path);
    const [a, b] = [variable(1), variable(2)];
    const optimizer = descent({ accumulativeCounts: 2 });
    optimizer.minimize(sum([a, 2], [b, 4]));
    b.dispose();
    optimizer.minimize(sum([a, 2]));
    expect(read(a)).toEqual([-1]);
    optimizer.minimize(sum([a, 2]), false, [a]);
    optimizer.minimize(sum([a, 2]), false, [a]);
    expect(read(a)).toEqual([-4]);
    // Its state is still that of a parameter, and saved with the others.
    const weights = await optimizer.getWeights();
    await optimizer.setWeights(weights);
    optimizer.minimize(sum([a, 2]));
    expect(optimizer.iterations).toBe(5);
    // All of them are gone: those that are there now train.
    a.dispose();
    const c = variable(5);
    optimizer.minimize(sum([c, 1]));
    // It ends the window that the fifth call began: half of its gradient.
    expect(read(c)).toEqual([4.5]);
  });

  test("a new variable of a name that a disposed one had joins under another", async () => {
    await use(path);
    const first = keep(tf.variable(tf.scalar(1), true, "reborn"));
    const optimizer = descent();
    optimizer.minimize(sum([first, 1]));
    first.dispose();
    const second = keep(tf.variable(tf.scalar(1), true, "reborn"));
    optimizer.minimize(sum([second, 1]));
    optimizer.minimize(sum([second, 1]));
    // 1 − 1 − 1.5
    expect(second.dataSync()[0]).toBe(-1.5);
    expect(namesIn(optimizer)?.flat()).toHaveLength(2);
  });

  test("a call that joins is to the bit what it is in a loop, with a scale and a window", async () => {
    await use(path);
    const options: OptimWrapperOptions = {
      accumulativeCounts: 2,
      lossScale: 1024,
      clipGrad: { maxNorm: 1 },
    };
    const [a, b, x, y] = [variable(0.3, 0.7), variable(-0.2), variable(0.3, 0.7), variable(-0.2)];
    const curve = (one: tf.Variable, other: tf.Variable) => (): tf.Scalar =>
      tf.add<tf.Scalar>(tf.sum(tf.exp(one)), tf.sum(tf.mul(tf.square(other), tf.sum(one))));
    const optimizer = descent(options);
    // Only these: the others of this test are trained by their own wrapper.
    const create = (list: readonly tf.Variable[]): TfjsWrapper =>
      createOptimWrapper(tfjsOptimizer(sgd({ lr: 1, momentum: 0.5 }), list, path.options), options);
    const loop = keep(create([x, y]));
    for (let step = 0; step < 6; step += 1) {
      optimizer.minimize(curve(a, b));
      loop.updateParams(curve(x, y));
    }
    expect(read(a, b)).toEqual(read(x, y));
  });

  test("no tensor stays behind where variables join, and where a loss throws or reaches nothing", async () => {
    await use(path);
    const a = variable(1);
    const elsewhere = variable(1);
    const optimizer = descent();
    const none = tf.memory().numTensors;
    expect(thrownBy(() => optimizer.minimize(() => tf.scalar(1))).code).toBe("no-gradient");
    expect(optimizer.wrapper).toBeUndefined();
    expect(tf.memory().numTensors).toBe(none);
    optimizer.minimize(sum([a, 1]));
    const b = variable(1);
    optimizer.minimize(sum([a, 1], [b, 1]));
    optimizer.minimize(sum([a, 1], [b, 1]));
    const start = tf.memory().numTensors;
    for (let step = 0; step < 3; step += 1) optimizer.minimize(sum([a, 1], [b, 1]));
    expect(() =>
      optimizer.minimize(() => {
        tf.square(a);
        throw new RangeError("no data");
      }),
    ).toThrow(RangeError);
    expect(thrownBy(() => optimizer.minimize(() => tf.scalar(1))).code).toBe("no-gradient");
    expect(thrownBy(() => optimizer.minimize(() => tf.scalar(1, "int32"))).code).toBe("invalid-loss");
    expect(tf.memory().numTensors).toBe(start);
    expect(read(elsewhere)).toEqual([1]);
  });
});

describe("as tf.train", () => {
  const [path] = paths as readonly [(typeof paths)[number]];
  const descent = (options: OptimWrapperOptions = {}) =>
    keep(toTfOptimizer((list) => createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), list), options)));

  /** A program that makes, trains, lists and disposes variables, on any tf.Optimizer. */
  function program(optimizer: tf.Optimizer): readonly number[] {
    const [a, b] = [variable(1, 2), variable(3)];
    optimizer.minimize(sum([a, 1]));
    optimizer.minimize(sum([a, 1], [b, 2]));
    const c = variable(4);
    optimizer.minimize(sum([b, 1], [c, 2]), false, [c]);
    optimizer.applyGradients({ [a.name]: keep(tf.tensor1d([1, 2])) });
    optimizer.applyGradients([
      { name: b.name, tensor: null as unknown as tf.Tensor },
      { name: "nobody", tensor: null as unknown as tf.Tensor },
      { name: c.name, tensor: keep(tf.tensor1d([5])) },
    ]);
    optimizer.applyGradients({});
    const d = variable(6);
    optimizer.applyGradients({ [d.name]: keep(tf.tensor1d([0.5])) });
    const before = read(a, b, c, d);
    for (const one of [a, b]) one.dispose();
    optimizer.minimize(sum([c, 1], [d, 1]));
    return [...before, ...read(c, d)];
  }

  test("a program of every call gives the numbers of tf.train.sgd", async () => {
    await use(path);
    const theirs = program(keep(tf.train.sgd(1)));
    for (const one of kept.splice(0)) if (one.isDisposed !== true) one.dispose();
    expect(program(descent())).toEqual(theirs);
    // a: −1 −1 −(1, 2); b: −2; c: −2 −5 −1; d: −½ −1.
    expect(theirs).toEqual([-2, -2, 1, -3, 5.5, -4, 4.5]);
  });

  test("a wrapper over two models' variables trains either", async () => {
    await use(path);
    const model = () =>
      keep(tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [1], useBias: false })] }));
    const [one, two] = [model(), model()];
    let made = 0;
    const optimizer = keep(
      toTfOptimizer(() => {
        made += 1;
        return createOptimWrapper(
          tfjsOptimizer(sgd({ lr: 0.1 }), [
            { name: "one", params: one.trainableWeights },
            { name: "two", params: { kernel: two.trainableWeights[0] as tfl.LayerVariable }, lr: 0.2 },
          ]),
        );
      }),
    );
    const [x, y] = [keep(tf.ones([2, 1])), keep(tf.zeros([2, 1]))];
    const once = { epochs: 1, verbose: 0 } as const;
    const kernel = (of: tfl.Sequential): number => of.getWeights()[0]?.dataSync()[0] as number;
    for (const [of, lr] of [
      [one, 0.1],
      [two, 0.2],
    ] as const) {
      of.compile({ optimizer, loss: "meanSquaredError" });
      const before = kernel(of);
      await of.fit(x, y, once);
      // The loss is w², its gradient 2 w.
      expect(kernel(of)).toBeCloseTo(before * (1 - 2 * lr), 6);
    }
    expect(made).toBe(1);
    expect(namesIn(optimizer)?.map(({ length }) => length)).toEqual([1, 1]);
    // Of a call's list alone, also where the loss reaches the other.
    const before = [kernel(one), kernel(two)];
    const [w] = one.trainableWeights.map((weight) => weight.read() as tf.Variable) as [tf.Variable];
    const [v] = two.trainableWeights.map((weight) => weight.read() as tf.Variable) as [tf.Variable];
    optimizer.minimize(sum([w, 1], [v, 1]), false, [v]);
    expect(kernel(one)).toBe(before[0]);
    expect(kernel(two)).toBeCloseTo((before[1] as number) - 0.2, 6);
  });

  test("of a model that holds another one only the wrapper's part trains, as a GAN needs it", async () => {
    await use(path);
    const network = (units: number, inputShape: number[]) =>
      tfl.sequential({ layers: [tfl.layers.dense({ units, inputShape })] });
    const [generator, critic] = [network(2, [1]), network(1, [2])];
    const both = keep(tfl.sequential({ layers: [generator, critic] }));
    const wrapperOf = (model: tfl.LayersModel): TfjsWrapper =>
      createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.1 }), model.trainableWeights));
    const [trainsGenerator, trainsCritic] = [wrapperOf(generator), wrapperOf(critic)];
    critic.compile({ optimizer: keep(toTfOptimizer(() => trainsCritic)), loss: "meanSquaredError" });
    both.compile({ optimizer: keep(toTfOptimizer(() => trainsGenerator)), loss: "meanSquaredError" });
    const [one, two] = [keep(tf.ones([1, 1])), keep(tf.ones([1, 2]))];
    const values = (model: tfl.LayersModel): readonly number[] =>
      model.getWeights().flatMap((weight) => [...weight.dataSync()]);
    for (let batch = 0; batch < 2; batch += 1) {
      const start = [values(generator), values(critic)] as const;
      await both.trainOnBatch(one, one);
      expect(values(critic)).toEqual(start[1]);
      expect(values(generator)).not.toEqual(start[0]);
      const middle = values(generator);
      await critic.trainOnBatch(two, one);
      expect(values(generator)).toEqual(middle);
      expect(values(critic)).not.toEqual(start[1]);
    }
    expect(trainsGenerator.optimizer.parameters).toHaveLength(2);
  });

  test("variables that the function leaves out stay as they are, and gradients of theirs alone are none", async () => {
    await use(path);
    const [a, b] = [variable(1), variable(2)];
    const optimizer = keep(
      toTfOptimizer((list) =>
        createOptimWrapper(
          tfjsOptimizer(
            sgd({ lr: 1 }),
            list.filter((one) => one === a),
          ),
        ),
      ),
    );
    optimizer.minimize(sum([a, 1], [b, 1]));
    optimizer.minimize(sum([a, 1], [b, 1]), false, [a, b]);
    optimizer.applyGradients({ [b.name]: keep(tf.tensor1d([1])) });
    expect(read(a, b)).toEqual([-1, 2]);
    expect(optimizer.iterations).toBe(2);
  });

  test("a group that the caller adds is trained with its own hyperparameters", async () => {
    await use(path);
    const a = variable(1);
    const optimizer = descent();
    optimizer.minimize(sum([a, 1]), false, [a]);
    const b = variable(1);
    optimizer.wrapper?.addParamGroup({ name: "late", params: [b], lr: 0.25 } as never);
    optimizer.minimize(sum([a, 1], [b, 1]));
    expect(read(a, b)).toEqual([-1, 0.75]);
    expect(namesIn(optimizer)).toEqual([[a.name], [b.name]]);
  });

  test("a tf.train optimizer in a wrapper takes no more variables, and says what to do", async () => {
    await use(path);
    const [a, b] = [variable(1), variable(2)];
    const optimizer = keep(toTfOptimizer((list) => createOptimWrapper(tfjsOptimizer(tf.train.sgd(1), list))));
    optimizer.minimize(sum([a, 1]));
    const refused = thrownBy(() => optimizer.minimize(sum([a, 1], [b, 1])));
    expect(refused.code).toBe("unsupported");
    expect(refused.received).toEqual([b.name]);
    expect(refused.hint).toMatch(/list of the first call/);
    expect(read(a, b)).toEqual([0, 2]);
    optimizer.minimize(sum([a, 1]));
    expect(read(a)).toEqual([-1]);
  });

  test("sharpness-aware steps look at the loss again, also in a call in which a variable joins", async () => {
    await use(path);
    const [a, x] = [variable(1), variable(1)];
    const square = (of: tf.Variable) => (): tf.Scalar => tf.sum(tf.square(of));
    const rule = (list: readonly tf.Variable[]) =>
      sam(tfjsOptimizer(sgd({ lr: 0.1 }), list), tfjsOptimizer(samAscent({ rho: 0.5 }), list));
    const optimizer = keep(toTfOptimizer((list) => createOptimWrapper(rule(list))));
    const loop = keep(createOptimWrapper(rule([x])));
    for (let step = 0; step < 3; step += 1) {
      optimizer.minimize(square(a));
      loop.updateParams(square(x));
    }
    expect(read(a)).toEqual(read(x));
  });

  test("what joined is saved, and joins again before the state is loaded", async () => {
    await use(path);
    const create = (list: readonly tf.Variable[]): TfjsWrapper =>
      createOptimWrapper(tfjsOptimizer(adamw({ lr: 0.1 }), list));
    const [first, whole] = [keep(toTfOptimizer(create)), keep(toTfOptimizer(create))];
    const [a, b, c, d] = [variable(1), variable(2), variable(1), variable(2)];
    const names = [a.name, b.name];
    const curve = (one: tf.Variable, other?: tf.Variable) => (): tf.Scalar =>
      tf.sum(tf.add(tf.square(one), other === undefined ? 0 : tf.square(other)));
    first.minimize(curve(a));
    first.minimize(curve(a, b));
    whole.minimize(curve(c));
    for (let step = 0; step < 3; step += 1) whole.minimize(curve(c, d));
    const weights = await first.getWeights();
    // The same variables in the program that goes on, where one call lists both.
    const [e, f] = [a, b].map((one, index) => {
      const value = one.dataSync();
      one.dispose();
      return keep(tf.variable(tf.tensor1d(value), true, names[index]));
    }) as [tf.Variable, tf.Variable];
    const second = keep(toTfOptimizer(create));
    await second.setWeights(weights);
    second.minimize(curve(e, f), false, [f, e]);
    second.minimize(curve(e, f));
    expect(read(e, f)).toEqual(read(c, d));
    expect(namesIn(second)).toEqual([[names[0]], [names[1]]]);
    // And once more: what joined is still known.
    const third = keep(toTfOptimizer(create));
    await third.setWeights(await second.getWeights());
    third.minimize(curve(e, f), false, [e, f]);
    expect(third.iterations).toBe(5);
  });
});
