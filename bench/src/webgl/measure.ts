import "@tensorflow/tfjs-backend-webgl";
import "@tensorflow/tfjs-layers";
import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import {
  type Case,
  type Effort,
  ratio,
  type Ratio,
  type Section,
  sideBySide,
  type Timing,
} from "../measure.ts";
import { names, type Network, perceptron, tiny, trainingCases, trainingRatios } from "../network.ts";

interface Goals {
  readonly plain: Ratio["goal"];
  readonly careful: Ratio["goal"];
}

const goalsOf = (plain: number, careful: number): Goals => ({
  plain: { atLeast: plain },
  careful: { atLeast: careful },
});

const sizes = [
  { count: 4, length: 1_000_000, goals: goalsOf(4, 2.5) },
  { count: 100, length: 10_000, goals: goalsOf(6, 4) },
  { count: 300, length: 1000, goals: goalsOf(10, 7) },
];
const middling = perceptron("a perceptron", [784, 256, 128, 10], 64);

/** Adam on this page's device, by `tf.train.adam` and by `tfjsOptimizer`, in turn in each round. */
export async function measure(effort: Effort, tell: (line: string) => void): Promise<readonly Section[]> {
  tf.enableProdMode();
  await tf.setBackend("webgl");
  const sections: Section[] = [];
  for (const { count, length, goals } of effort.smoke
    ? [{ ...sizes[0], count: 2, length: 400, goals: undefined }]
    : sizes) {
    tell(`${count} × ${length}`);
    sections.push(await steps(count, length, goals, effort));
  }
  for (const [network, goals] of [
    [middling, goalsOf(1.3, 1.1)],
    [tiny, { plain: { atLeast: 1.3 } }],
  ] as const) {
    tell(network.title);
    sections.push(await trainingStep(network, goals, effort));
  }
  return sections;
}

const careful: OptimWrapperOptions = { lossScale: "dynamic", clipGrad: { maxNorm: 1 } };

async function steps(
  count: number,
  length: number,
  goals: Goals | undefined,
  effort: Effort,
): Promise<Section> {
  const make = () => Array.from({ length: count }, () => tf.variable(tf.randomNormal([length / 100, 100])));
  const [gradients, variables] = [make(), make()];
  const given = Object.fromEntries(
    variables.map((variable, index) => [variable.name, gradients[index] as tf.Variable]),
  );
  // Its gradients are there already: what is left is the step, and taking them over.
  const loss = (): tf.Scalar =>
    tf.customGrad((...inputs) => {
      inputs.pop();
      return {
        value: tf.scalar(0),
        gradFunc: () => variables.map((variable) => tf.clone(given[variable.name] as tf.Tensor)),
      };
    })(...variables);
  const native = tf.train.adam(1e-3);
  const wrappers = [{}, careful].map((options) =>
    createOptimWrapper(tfjsOptimizer(adam(), variables), options),
  );
  const [plain, scaled] = wrappers.map((wrapper) => () => void wrapper.updateParams(loss)) as [
    () => void,
    () => void,
  ];
  const timings = await waitedFor(
    [
      { name: names.native, enqueue: () => native.applyGradients(given) },
      { name: names.plain, enqueue: plain },
      { name: names.careful, enqueue: scaled },
    ],
    variables,
    effort,
    count > 50 ? 2 : 3,
  );
  for (const one of [native, ...wrappers]) one.dispose();
  tf.dispose([...variables, ...gradients]);
  return {
    title: `Given gradients, ${count} × ${length}`,
    about: "The step, and taking the gradients over.",
    timings,
    ratios: [
      ratio(timings, names.native, names.plain, goals?.plain),
      ratio(timings, names.native, names.careful, goals?.careful),
    ],
  };
}

async function trainingStep(
  network: Network,
  goals: Parameters<typeof trainingRatios>[1],
  effort: Effort,
): Promise<Section> {
  const { cases, variables, dispose } = trainingCases(network, tfjsOptimizer);
  const timings = await waitedFor(cases, variables, effort, 10);
  dispose();
  return {
    title: `A training step of ${network.title}`,
    about: `Loss, gradients and Adam: ${network.about}. Ten steps a sample. The floor is what no optimizer could go below.`,
    timings,
    ratios: trainingRatios(timings, goals),
  };
}

/** Milliseconds each, the wait for the device included, which comes once in so many repeats. */
async function waitedFor(
  cases: readonly { readonly name: string; readonly enqueue: () => void }[],
  variables: readonly tf.Variable[],
  effort: Effort,
  repeats: number,
): Promise<Timing[]> {
  const times = effort.smoke ? 1 : repeats;
  const timed = cases.map(({ name, enqueue }): Case => ({
    name,
    async run() {
      for (let time = 0; time < times; time += 1) enqueue();
      await settled(variables);
    },
  }));
  await settled(variables);
  const timings = await sideBySide(timed, effort, 9, 1);
  return timings.map(({ name, medianMs, rounds = [] }) => ({
    name,
    medianMs: medianMs / times,
    rounds: rounds.map((time) => time / times),
  }));
}

/** Waits for the device: one element of a variable is read. */
async function settled(variables: readonly tf.Variable[]): Promise<void> {
  const last = variables.at(-1) as tf.Variable;
  const one = tf.tidy(() => tf.slice(tf.reshape(last, [last.size]), 0, 1));
  await one.data();
  one.dispose();
}
