import { createOptimWrapper } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { createClassifier } from "./classifier.ts";
import { irises } from "./iris.ts";
import { tapeOptimizer } from "./tape-optimizer.ts";

const { training, test } = irises();
const classifier = createClassifier();
const optim = createOptimWrapper(tapeOptimizer(adamw({ lr: 0.02 }), classifier.parameters), {
  accumulativeCounts: 2,
  clipGrad: { maxNorm: 1 },
});

// Two micro-batches an update: flowers with even and with odd numbers.
const half = (odd: 0 | 1) => ({
  measurements: training.measurements.filter((_, index) => index % 2 === odd),
  species: training.species.filter((_, index) => index % 2 === odd),
});
const batches = [half(0), half(1)];

for (let epoch = 1; epoch <= 60; epoch += 1) {
  const losses = batches.map((batch) => {
    const { loss } = optim.updateParams(classifier.loss(batch), { returnLoss: true });
    return loss.values[0] as number;
  });
  if (epoch % 10 !== 0) continue;
  const { gradNorm = Number.NaN } = await optim.readMetrics();
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  console.log(`epoch ${epoch}: loss ${mean.toFixed(3)}, gradient norm ${gradNorm.toFixed(3)}`);
}
console.log(
  `${(100 * classifier.accuracy(test)).toFixed(1)} % of ${test.species.length} unseen flowers named rightly`,
);
optim.dispose();
