import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-layers"; // tfjs-core alone has no gradients
import { createOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import { setThreadsCount } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { type Effort, ratio, type Section, sideBySide } from "./measure.ts";
import { type Network, small, tiny, trainingCases, trainingRatios } from "./network.ts";

/** Adam on tfjs variables, against `tf.train.adam` on the same backend. */
export async function tfjs(effort: Effort): Promise<readonly Section[]> {
  setThreadsCount(1);
  tf.enableProdMode();
  const sections: Section[] = [];
  for (const backend of ["wasm", "cpu"] as const) {
    await tf.setBackend(backend);
    for (const size of sizes) sections.push(await adamOn(backend, size, effort));
    if (backend === "wasm")
      for (const network of [small, tiny]) sections.push(await trainingStep(network, effort));
  }
  return sections;
}

interface Size {
  readonly label: string;
  readonly tensors: number;
  readonly length: number;
}

const sizes: readonly Size[] = [
  { label: "4 × 1M", tensors: 4, length: 2 ** 20 },
  { label: "100 × 10k", tensors: 100, length: 10_000 },
];

// A step of tf.train.adam on tfjs-cpu takes a second.
const rounds = { wasm: 25, cpu: 7 };
const goals = { wasm: 7, cpu: 50 };

async function adamOn(backend: "wasm" | "cpu", size: Size, effort: Effort): Promise<Section> {
  const { label, tensors } = size;
  const length = effort.smoke ? 10 : size.length;
  const names = Array.from({ length: tensors }, (_, index) => `w${index}`);
  const make = (): tf.Variable[] => names.map(() => tf.variable(tf.ones([length])));
  const gradient = tf.tensor1d(Float32Array.from({ length }, (_, index) => Math.sin(index)));
  // Costs nothing but the bookkeeping of a backward pass: the gradients are there already.
  const lossOf = (variables: readonly tf.Variable[]): (() => tf.Scalar) => {
    const withGradients = tf.customGrad(() => ({
      value: tf.scalar(0),
      gradFunc: () => variables.map(() => tf.clone(gradient)),
    }));
    return () => withGradients(...variables);
  };

  const native = { variables: make(), optimizer: tf.train.adam(1e-3) };
  const given = native.variables.map(({ name }) => ({ name, tensor: gradient }));
  const nativeLoss = lossOf(native.variables);
  const variables = make();
  const loss = lossOf(variables);
  const byName = Object.fromEntries(names.map((name, index) => [name, variables[index] as tf.Variable]));
  const optimizer = tfjsOptimizer(adam({ lr: 1e-3 }), byName);
  optimizer.backward(loss);
  const whole = make();
  const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 1e-3 }), whole));
  const wholeLoss = lossOf(whole);

  const what = {
    nativeStep: "tf.train.adam, applyGradients",
    step: "step",
    nativeUpdate: "tf.train.adam, minimize",
    update: "updateParams",
  };
  const timings = await sideBySide(
    [
      { name: what.nativeStep, run: () => native.optimizer.applyGradients(given) },
      { name: what.step, run: () => optimizer.step() },
      {
        name: what.nativeUpdate,
        run() {
          native.optimizer.minimize(nativeLoss, false, native.variables);
        },
      },
      {
        name: what.update,
        run() {
          wrapper.updateParams(wholeLoss);
        },
      },
    ],
    effort,
    rounds[backend],
  );
  native.optimizer.dispose();
  optimizer.dispose();
  wrapper.dispose();
  tf.dispose([...native.variables, ...variables, ...whole, gradient]);
  return {
    title: `Adam, ${label}, variables of tfjs-${backend}`,
    about: `The step, given gradients; and a whole update whose loss hands out gradients that are there already, so that what is left is the bookkeeping of tfjs, the copy into our accumulators, and the step.`,
    timings,
    ratios: [
      ratio(timings, what.nativeStep, what.step, { atLeast: goals[backend] }),
      ratio(timings, what.nativeUpdate, what.update),
    ],
  };
}

/** Steps in a sample. */
const repeats = 10;

async function trainingStep(network: Network, effort: Effort): Promise<Section> {
  const { cases, dispose } = trainingCases(network, tfjsOptimizer);
  const times = effort.smoke ? 1 : repeats;
  const timings = await sideBySide(
    cases.map(({ name, enqueue }) => ({
      name,
      run() {
        for (let time = 0; time < times; time += 1) enqueue();
      },
    })),
    effort,
  );
  dispose();
  return {
    title: `${repeats} training steps of ${network.title} on tfjs-wasm`,
    about: `Loss, gradients and Adam: ${network.about}. The floor is what no optimizer could go below.`,
    timings,
    ratios: trainingRatios(timings),
  };
}
