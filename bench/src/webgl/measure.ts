import "@tensorflow/tfjs-backend-webgl";
import "@tensorflow/tfjs-layers";
import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";

/** Times of one case, in milliseconds, by name. */
export interface Row {
  readonly title: string;
  readonly medians: { readonly [name: string]: number };
  /** Medians of the ratios of each round: `tf.train.adam` ÷ this. */
  readonly ratios: { readonly [name: string]: number };
}

export const native = "tf.train.adam";
export const drawn = "tfjsOptimizer";
export const drawnAndClipped = "tfjsOptimizer, clip by norm and dynamic scale";

interface Case {
  readonly name: string;
  readonly run: () => void;
  readonly dispose: () => void;
}

const clipped: OptimWrapperOptions = { lossScale: "dynamic", clipGrad: { maxNorm: 1 } };

/** Waits for the device: one element of a variable is read. */
async function settled(variables: readonly tf.Variable[]): Promise<void> {
  const last = variables.at(-1) as tf.Variable;
  const one = tf.tidy(() => tf.slice(tf.reshape(last, [last.size]), 0, 1));
  await one.data();
  one.dispose();
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

/** Adam on this page's device, by `tf.train.adam` and by `tfjsOptimizer`, in turn in each round. */
export async function measure(
  {
    rounds,
    sizes,
  }: { readonly rounds: number; readonly sizes: readonly (readonly [count: number, size: number])[] },
  tell: (line: string) => void,
): Promise<readonly Row[]> {
  await tf.setBackend("webgl");
  const rows: Row[] = [];
  for (const [count, size] of sizes) {
    tell(`${count} × ${size}`);
    const make = () => Array.from({ length: count }, () => tf.variable(tf.randomNormal([size / 100, 100])));
    rows.push(await steps(`given gradients, ${count} × ${size}`, make, rounds));
  }
  tell("a network");
  rows.push(await network(rounds));
  return rows;
}

async function steps(title: string, make: () => tf.Variable[], rounds: number): Promise<Row> {
  const gradients = make();
  const variables = make();
  const given = new Map(variables.map((variable, index) => [variable, gradients[index] as tf.Variable]));
  // Its gradients are there already: what is left is the step, and taking them over.
  const lossOf = (of: readonly tf.Variable[]): tf.Scalar =>
    tf.customGrad((...inputs) => {
      inputs.pop();
      return {
        value: tf.scalar(0),
        gradFunc: () => of.map((variable) => tf.clone(given.get(variable) as tf.Tensor)),
      };
    })(...of);
  const ours = (name: string, options: OptimWrapperOptions): Case => {
    const wrapper = createOptimWrapper(tfjsOptimizer(adam(), variables), options);
    return {
      name,
      run: () => void wrapper.updateParams(() => lossOf(variables)),
      dispose: () => wrapper.dispose(),
    };
  };
  const theirs = tf.train.adam(1e-3);
  const named = Object.fromEntries(
    variables.map((variable, index) => [variable.name, gradients[index] as tf.Variable]),
  );
  const cases: readonly Case[] = [
    { name: native, run: () => theirs.applyGradients(named), dispose: () => theirs.dispose() },
    ours(drawn, {}),
    ours(drawnAndClipped, clipped),
  ];
  const row = await inTurn(title, cases, variables, rounds, gradients.length > 50 ? 2 : 3);
  tf.dispose([...variables, ...gradients]);
  return row;
}

async function network(rounds: number): Promise<Row> {
  const sizes = [784, 256, 128, 10];
  const variables = sizes
    .slice(1)
    .flatMap((size, layer) => [
      tf.variable(tf.mul<tf.Tensor2D>(tf.randomNormal([sizes[layer] as number, size]), 0.05)),
      tf.variable(tf.zeros([size])),
    ]);
  const [x, y] = [tf.randomNormal([64, 784]), tf.randomNormal([64, 10])];
  const loss = (): tf.Scalar => {
    let out: tf.Tensor = x;
    for (let layer = 0; layer < 3; layer += 1) {
      out = tf.add(
        tf.matMul(out as tf.Tensor2D, variables[2 * layer] as tf.Tensor2D),
        variables[2 * layer + 1] as tf.Tensor,
      );
      if (layer < 2) out = tf.relu(out);
    }
    return tf.mean(tf.squaredDifference(out, y));
  };
  const theirs = tf.train.adam(1e-3);
  const ours = (name: string, options: OptimWrapperOptions): Case => {
    const wrapper = createOptimWrapper(tfjsOptimizer(adam(), variables), options);
    return { name, run: () => void wrapper.updateParams(loss), dispose: () => wrapper.dispose() };
  };
  const floor = (): void => {
    const { value, grads } = tf.variableGrads(loss, variables);
    tf.dispose([value, grads]);
  };
  const cases: readonly Case[] = [
    {
      name: native,
      run: () => void theirs.minimize(loss, false, variables),
      dispose: () => theirs.dispose(),
    },
    ours(drawn, {}),
    ours(drawnAndClipped, clipped),
    { name: "no optimizer", run: floor, dispose: () => {} },
  ];
  const row = await inTurn("a whole step, 784-256-128-10, batch 64", cases, variables, rounds, 4);
  tf.dispose([...variables, x, y]);
  return row;
}

async function inTurn(
  title: string,
  cases: readonly Case[],
  variables: readonly tf.Variable[],
  rounds: number,
  repeats: number,
): Promise<Row> {
  const samples = cases.map(() => [] as number[]);
  for (let round = -1; round < rounds; round += 1) {
    for (const [index, { run }] of cases.entries()) {
      await settled(variables);
      const start = performance.now();
      for (let repeat = 0; repeat < repeats; repeat += 1) run();
      await settled(variables);
      if (round >= 0) samples[index]?.push((performance.now() - start) / repeats);
    }
  }
  for (const { dispose } of cases) dispose();
  const [baseline] = samples as [number[]];
  const byName = (of: (times: readonly number[]) => number) =>
    Object.fromEntries(cases.map(({ name }, index) => [name, of(samples[index] as number[])]));
  return {
    title,
    medians: byName(median),
    ratios: byName((times) => median(times.map((time, round) => (baseline[round] as number) / time))),
  };
}
