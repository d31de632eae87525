import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-layers"; // registers gradients, which tfjs-core alone has none of
import * as tf from "@tensorflow/tfjs-core";
import { createOptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";

// The data lie around 3. The generator shifts noise; the critic, w·x with a penalty on w, tells it which way.
const [shift, weight] = [tf.variable(tf.scalar(0)), tf.variable(tf.scalar(0))];
const normal = (mean: number, seed: number) => tf.randomNormal([64], mean, 1, "float32", seed);
const score = (x: tf.Tensor): tf.Scalar => tf.mean(tf.mul(weight, x));
const fake = (seed: number) => tf.add(normal(0, seed), shift);

const optim = new OptimWrapperDict({
  generator: createOptimWrapper(tfjsOptimizer(adam({ lr: 0.02 }), { shift })),
  critic: createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.2, momentum: 0.5, weightDecay: 1 }), { weight }), {
    accumulativeCounts: 2,
    clipGrad: { maxNorm: 1 },
  }),
});
console.log(optim.toString());
for (let step = 1; step <= 600; step += 1) {
  optim.get("critic").updateParams(() => tf.sub(score(fake(-step)), score(normal(3, step))));
  optim.get("generator").updateParams(() => tf.neg(score(fake(step))));
  if (step % 100 === 0)
    console.log(`step ${step}: the noise is shifted by ${shift.dataSync()[0]?.toFixed(2)}`);
}
console.log(optim.getLr(), await optim.readMetrics());
