import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { type Effort, ratio, type Section } from "../measure.ts";
import type { Adapter } from "./adapters.ts";
import { onDevice } from "./on-device.ts";
import type { Flush } from "./tfjs.ts";

const widths = [784, 128, 128, 64, 10] as const;
const batch = 32;

/** Everything that a training loop does, with either optimizer. */
export async function trainingStep(adapter: Adapter, flush: Flush, effort: Effort): Promise<Section> {
  const input = tf.randomUniform([batch, widths[0]], 0, 1, "float32", 1);
  const labels = tf.oneHot(
    tf.tensor1d(
      Int32Array.from({ length: batch }, (_, row) => row % 10),
      "int32",
    ),
    10,
  );
  const networks: tf.Variable[][] = [];
  const network = (): { readonly variables: tf.Variable[]; readonly loss: () => tf.Scalar } => {
    const variables = widths.slice(1).flatMap((outputs, layer) => {
      const inputs = widths[layer] ?? 0;
      const weights = tf.randomNormal([inputs, outputs], 0, Math.sqrt(2 / inputs), "float32", layer + 1);
      return tf.tidy(() => [tf.variable(weights), tf.variable(tf.zeros([outputs]))]);
    });
    networks.push(variables);
    const logits = (): tf.Tensor => {
      let x: tf.Tensor = input;
      for (let i = 0; i < variables.length; i += 2) {
        x = tf.add(
          tf.matMul(i > 0 ? tf.relu(x) : x, variables[i] as tf.Variable),
          variables[i + 1] as tf.Variable,
        );
      }
      return x;
    };
    return {
      variables,
      // Cross-entropy of the softmax.
      loss: () => {
        const x = logits();
        return tf.mean(tf.sub(tf.logSumExp(x, 1), tf.sum(tf.mul(x, labels), 1)));
      },
    };
  };
  const wrap = (options: OptimWrapperOptions) => {
    const { variables, loss } = network();
    const optim = createOptimWrapper(tfjsOptimizer(adam({ lr: 1e-3 }), variables), options);
    return { dispose: () => optim.dispose(), updateParams: () => void optim.updateParams(loss) };
  };

  const native = { ...network(), optimizer: tf.train.adam(1e-3) };
  const [plain, careful] = [wrap({}), wrap({ clipGrad: { maxNorm: 1 }, lossScale: "dynamic" })];
  const only = network();
  const what = {
    native: "tf.train.adam",
    plain: "updateParams",
    careful: "updateParams, clipped and scaled",
  };
  const timings = await onDevice(
    adapter,
    [
      {
        name: "no optimizer: loss and gradients alone",
        enqueue: () => tf.dispose(tf.variableGrads(only.loss, only.variables)),
        flush,
      },
      {
        name: what.native,
        enqueue() {
          native.optimizer.minimize(native.loss, false, native.variables);
        },
        flush,
      },
      { name: what.plain, enqueue: plain.updateParams, flush },
      { name: what.careful, enqueue: careful.updateParams, flush },
    ],
    effort,
  );
  plain.dispose();
  careful.dispose();
  native.optimizer.dispose();
  tf.dispose([networks, input, labels]);
  return {
    title: `A training step of a small network on tfjs-webgpu, ${adapter.name}`,
    about: `A perceptron of ${widths.join(" → ")}, ${2 * (widths.length - 1)} variables, ${batch} images a batch: loss, gradients and Adam.`,
    timings,
    ratios: [
      { ...ratio(timings, what.native, what.plain), column: "a whole training step" },
      ratio(timings, what.native, what.careful),
    ],
  };
}
