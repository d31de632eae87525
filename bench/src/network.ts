import { createOptimWrapper, type Optimizer, type OptimWrapperOptions } from "@mm/optim-core";
import { type AdamHyperparameters, adam } from "@mm/optim-rules";
import * as tf from "@tensorflow/tfjs-core";
import { type Ratio, ratio, type Timing } from "./measure.ts";

/** Work to enqueue, which waits for nothing. */
export interface TrainingCase {
  readonly name: string;
  readonly enqueue: () => void;
}

export interface Network {
  readonly title: string;
  readonly about: string;
  /** Data, and networks that begin alike. The caller disposes all of them. */
  make(): { readonly data: tf.Tensor[]; readonly create: () => Trained };
}

interface Trained {
  readonly variables: tf.Variable[];
  readonly loss: () => tf.Scalar;
}

export const perceptron = (title: string, widths: readonly number[], batch: number): Network => ({
  title,
  about: `a perceptron of ${widths.join(" → ")}, ${2 * (widths.length - 1)} variables, ${batch} examples a batch`,
  make() {
    const input = tf.randomUniform([batch, widths[0] as number], 0, 1, "float32", 1);
    const classes = widths.at(-1) as number;
    const labels = tf.tidy(() => {
      const rows = Int32Array.from({ length: batch }, (_, row) => row % classes);
      return tf.cast(tf.oneHot(tf.tensor1d(rows, "int32"), classes), "float32");
    });
    const create = (): Trained => {
      const variables = variablesOf(widths);
      return { variables, loss: () => crossEntropy(variables, input, labels) };
    };
    return { data: [input, labels], create };
  },
});

/** Without products of matrices, and with one sum: nothing but calls. */
const chain = (title: string, layers: number, width: number): Network => ({
  title,
  about: `${layers} layers of tanh(gain · x + shift) on ${width} numbers, ${2 * layers} variables, and a squared error`,
  make() {
    const input = tf.randomUniform([width], -1, 1, "float32", 1);
    const target = tf.randomUniform([width], -1, 1, "float32", 2);
    const create = (): Trained => {
      const variables = Array.from({ length: 2 * layers }, (_, index) =>
        tf.tidy(() => tf.variable(index % 2 === 0 ? tf.ones([width]) : tf.zeros([width]))),
      );
      return { variables, loss: () => squaredError(variables, input, target) };
    };
    return { data: [input, target], create };
  },
});

/** Forward and backward pass take most of the time of this one. */
export const small: Network = perceptron("a small network", [784, 128, 128, 64, 10], 32);
/** So little to compute that a step costs what its calls cost, where products of small matrices are fast. */
export const tiny: Network = perceptron("a tiny network", [4, 8, 8, 2], 8);
/** The same, wherever it is. */
export const calls: Network = chain("a network bound by its calls", 6, 64);

type MakeOptimizer = (
  rule: ReturnType<typeof adam>,
  variables: readonly tf.Variable[],
) => Optimizer<() => tf.Scalar, tf.Scalar, AdamHyperparameters>;

export const names = {
  floor: "no optimizer: loss and gradients alone",
  native: "tf.train.adam",
  plain: "updateParams",
  careful: "updateParams, clipped and scaled",
  nativeAlone: "tf.train.adam alone, given gradients",
  alone: "step alone, given gradients",
};

/** Everything that a training loop does, with either optimizer, with none, and each optimizer alone. */
export function trainingCases(
  network: Network,
  makeOptimizer: MakeOptimizer,
): { readonly cases: readonly TrainingCase[]; readonly variables: readonly tf.Variable[]; dispose(): void } {
  const ends: (() => void)[] = [];
  const { data, create } = network.make();
  const all: tf.Variable[] = [];
  const another = (): Trained => {
    const trained = create();
    all.push(...trained.variables);
    return trained;
  };
  const wrap = (options: OptimWrapperOptions) => {
    const { variables, loss } = another();
    const optim = createOptimWrapper(makeOptimizer(adam({ lr: 1e-3 }), variables), options);
    ends.push(() => optim.dispose());
    return { optim, loss };
  };
  const train =
    ({ optim, loss }: ReturnType<typeof wrap>) =>
    (): void => {
      optim.updateParams(loss);
    };

  const only = another();
  const native = { ...another(), optimizer: tf.train.adam(1e-3) };
  const alone = wrap({});
  alone.optim.backward(alone.loss);
  const nativeAlone = { ...another(), optimizer: tf.train.adam(1e-3) };
  const { value, grads } = tf.variableGrads(nativeAlone.loss, nativeAlone.variables);
  const given = Object.entries(grads).map(([name, tensor]) => ({ name, tensor }));
  ends.push(() => {
    native.optimizer.dispose();
    nativeAlone.optimizer.dispose();
    tf.dispose([value, grads, ...data, ...all]);
  });
  return {
    variables: all,
    cases: [
      { name: names.floor, enqueue: () => tf.dispose(tf.variableGrads(only.loss, only.variables)) },
      {
        name: names.native,
        enqueue() {
          native.optimizer.minimize(native.loss, false, native.variables);
        },
      },
      { name: names.plain, enqueue: train(wrap({})) },
      { name: names.careful, enqueue: train(wrap({ clipGrad: { maxNorm: 1 }, lossScale: "dynamic" })) },
      { name: names.nativeAlone, enqueue: () => nativeAlone.optimizer.applyGradients(given) },
      // A step leaves the gradients where they are.
      { name: names.alone, enqueue: () => void alone.optim.step() },
    ],
    dispose: () => {
      for (const end of ends) end();
    },
  };
}

/** The share of each in a step, and one beside the other. */
export function trainingRatios(
  timings: readonly Timing[],
  goals: { readonly [K in "plain" | "careful" | "overFloor"]?: Ratio["goal"] } = {},
): readonly Ratio[] {
  return [
    ratio(timings, names.native, names.plain, goals.plain),
    ratio(timings, names.native, names.careful, goals.careful),
    ratio(timings, names.native, names.floor),
    ratio(timings, names.plain, names.floor, goals.overFloor),
    ratio(timings, names.nativeAlone, names.alone),
  ];
}

function variablesOf(widths: readonly number[]): tf.Variable[] {
  return widths.slice(1).flatMap((outputs, layer) => {
    const inputs = widths[layer] as number;
    return tf.tidy(() => [
      tf.variable(tf.randomNormal([inputs, outputs], 0, Math.sqrt(2 / inputs), "float32", layer + 1)),
      tf.variable(tf.zeros([outputs])),
    ]);
  });
}

/** Of the softmax. */
function crossEntropy(variables: readonly tf.Variable[], input: tf.Tensor, labels: tf.Tensor): tf.Scalar {
  let x = input;
  for (let i = 0; i < variables.length; i += 2) {
    x = tf.add(
      tf.matMul(i > 0 ? tf.relu(x) : x, variables[i] as tf.Variable),
      variables[i + 1] as tf.Variable,
    );
  }
  return tf.mean(tf.sub(tf.logSumExp(x, 1), tf.sum(tf.mul(x, labels), 1)));
}

function squaredError(variables: readonly tf.Variable[], input: tf.Tensor, target: tf.Tensor): tf.Scalar {
  let x = input;
  for (let i = 0; i < variables.length; i += 2) {
    x = tf.tanh(tf.add(tf.mul(variables[i] as tf.Variable, x), variables[i + 1] as tf.Variable));
  }
  return tf.sum(tf.square(tf.sub(x, target)));
}
