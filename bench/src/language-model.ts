import { createRandom } from "@mm-examples/gan-digits/random";
import { repairWasmKernels } from "@mm-examples/tfjs-wasm-kernels";
import { createModel } from "@mm-examples/language-model/model";
import { groupsOf } from "@mm-examples/language-model/optim";
import { completeSettings } from "@mm-examples/language-model/settings";

import { adamw, muon } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import { setThreadsCount } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { type Effort, ratio, type Section, sideBySide } from "./measure.ts";

const rates = { muon: 0.02, adamw: 8e-3 };
const decay = 0.1;
const maxNorm = 1;

/** Muon and AdamW over the weights of a language model: ours, against the same by operations of tfjs, whose kernels are repaired. The last suite on tfjs-wasm. */
export async function languageModel(effort: Effort): Promise<readonly Section[]> {
  repairWasmKernels();
  setThreadsCount(1);
  await tf.setBackend("wasm");
  const sizes = { ...completeSettings({}), vocabulary: 512 };
  const random = createRandom(1, "training");
  const [ours, alone, theirs] = [0, 1, 2].map(() => createModel(sizes, random)) as [Model, Model, Model];
  const gradients = Object.fromEntries(
    Object.entries(ours.weights).map(([name, { shape, size }]) => [
      name,
      tf.tensor(random.normals(size), shape),
    ]),
  );
  const optimizerOf = ({ weights }: Model, rule: object) => {
    const { hidden, head, rest } = groupsOf(weights);
    const optimizer = tfjsOptimizer(adamw({ lr: rates.adamw, betas: [0.9, 0.99], weightDecay: 0 }), [
      { name: "hidden", params: hidden, weightDecay: decay, ...rule },
      { name: "head", params: head, weightDecay: decay },
      { name: "rest", params: rest },
    ]);
    const names = Object.keys(weights);
    const withGradients = tf.customGrad(() => ({
      value: tf.scalar(0),
      gradFunc: () => names.map((name) => tf.clone(gradients[name] as tf.Tensor)),
    }));
    optimizer.backward(() => withGradients(...Object.values(weights)));
    return optimizer;
  };
  const both = optimizerOf(ours, { rule: muon({ lr: rates.muon }) });
  const one = optimizerOf(alone, {});
  const byOps = operations(theirs, gradients);
  const what = { ops: "Muon + AdamW by tfjs ops", ours: "Muon + AdamW", adamw: "AdamW" };
  const timings = await sideBySide(
    [
      { name: what.ops, run: byOps.step },
      { name: what.ours, run: () => void both.step({ clipGrad: { maxNorm } }) },
      { name: what.adamw, run: () => void one.step({ clipGrad: { maxNorm } }) },
    ],
    effort,
  );
  both.dispose();
  one.dispose();
  byOps.dispose();
  for (const model of [ours, alone, theirs]) model.dispose();
  tf.dispose(Object.values(gradients));
  return [
    {
      title: "Muon + AdamW, weights of a language model, variables of tfjs-wasm",
      about:
        "The step of `examples/language-model`, clipped by norm, given gradients: 24 hidden matrices by Muon, all else by AdamW. By ops: matrices of one shape are one batch, and products of matrices are repaired (`examples/tfjs-wasm-kernels`), without which they take several times as long.",
      timings,
      ratios: [ratio(timings, what.ours, what.ops, { atMost: 0.55 }), ratio(timings, what.ours, what.adamw)],
    },
  ];
}

type Model = ReturnType<typeof createModel>;

/** The same step as somebody would write it with tfjs: Muon of Jordan et al., hidden matrices of one shape together, and AdamW. */
function operations({ weights }: Model, gradients: Readonly<Record<string, tf.Tensor>>) {
  const isHidden = groupsOf(weights).hidden;
  const names = Object.keys(weights);
  const zeros = (): Record<string, tf.Variable> =>
    Object.fromEntries(names.map((name) => [name, tf.variable(tf.zerosLike(weights[name] as tf.Tensor))]));
  const [first, second] = [zeros(), zeros()];
  let count = 0;
  const average = (into: tf.Variable, beta: number, value: tf.Tensor): tf.Tensor => {
    const mean = tf.add(tf.mul(into, beta), tf.mul(value, 1 - beta));
    into.assign(mean);
    return mean;
  };
  const decays = (name: string): boolean => name in isHidden || name === "head";
  const shrunk = (name: string, rate: number): tf.Tensor =>
    decays(name) ? tf.mul(weights[name] as tf.Tensor, 1 - rate * decay) : (weights[name] as tf.Tensor);

  function step(): void {
    count += 1;
    tf.tidy(() => {
      const squares = tf.addN(names.map((name) => tf.sum(tf.square(gradients[name] as tf.Tensor))));
      const factor = Math.min(1, maxNorm / (Math.sqrt(squares.dataSync()[0] ?? Number.NaN) + 1e-6));
      const groups = new Map<string, { name: string; tall: boolean; matrix: tf.Tensor2D }[]>();
      for (const name of names) {
        const gradient = tf.mul(gradients[name] as tf.Tensor, factor);
        const weight = weights[name] as tf.Variable;
        if (!(name in isHidden)) {
          const mean = average(first[name] as tf.Variable, 0.9, gradient);
          const square = average(second[name] as tf.Variable, 0.99, tf.square(gradient));
          const root = tf.add(tf.sqrt(tf.div(square, 1 - 0.99 ** count)), 1e-8);
          const rate = rates.adamw / (1 - 0.9 ** count);
          weight.assign(tf.sub(shrunk(name, rates.adamw), tf.mul(tf.div(mean, root), rate)));
          continue;
        }
        const mean = average(first[name] as tf.Variable, 0.95, gradient);
        const direction = tf.add<tf.Tensor2D>(tf.mul(mean, 0.95), tf.mul(gradient, 0.05));
        const [rows, columns] = direction.shape;
        const tall = rows > columns;
        const matrix = tall ? tf.transpose(direction) : direction;
        const key = String(matrix.shape);
        groups.set(key, [...(groups.get(key) ?? []), { name, tall, matrix }]);
      }
      for (const group of groups.values()) {
        const all = orthogonalized(tf.stack(group.map(({ matrix }) => matrix)));
        for (const [at, { name, tall, matrix }] of group.entries()) {
          const part = tf.reshape(tf.slice(all, [at, 0, 0], [1, ...matrix.shape]), matrix.shape);
          const [inputs = 1, outputs = 1] = (weights[name] as tf.Variable).shape;
          const rate = rates.muon * Math.sqrt(Math.max(1, outputs / inputs));
          const update = tf.mul(tall ? tf.transpose(part) : part, rate);
          (weights[name] as tf.Variable).assign(tf.sub(shrunk(name, rates.muon), update));
        }
      }
    });
  }
  return { step, dispose: () => tf.dispose([...Object.values(first), ...Object.values(second)]) };
}

/** Five steps of Newton–Schulz with Jordan's coefficients. */
function orthogonalized(matrices: tf.Tensor): tf.Tensor {
  let x: tf.Tensor = tf.div(matrices, tf.add(tf.sqrt(tf.sum(tf.square(matrices), [1, 2], true)), 1e-7));
  for (let step = 0; step < 5; step += 1) {
    const a = tf.matMul(x, x, false, true);
    x = tf.add(tf.mul(x, 3.4445), tf.matMul(tf.add(tf.mul(a, -4.775), tf.mul(tf.matMul(a, a), 2.0315)), x));
  }
  return x;
}
