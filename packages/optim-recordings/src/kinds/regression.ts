import { createOptimWrapper } from "@mm/optim-core";
import type { LossClosure } from "@mm/optim-conformance";
import { Checks } from "../checks.ts";
import { decode, type RegressionCase } from "../format.ts";
import { type Bench, RecordedSubject } from "../subject.ts";
import { clipGradOf } from "../torch.ts";

/** A linear regression: the gradient follows from the parameters, so that errors would build up. mean((x·W + B − y)²). */
export async function runRegression<P, Loss extends LossClosure, LossValue>(
  { optimizer, groups, accumulativeCounts, maxCounts, clipGrad, X, Y, init, steps }: RegressionCase,
  bench: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const checks = new Checks();
  const [, rows = 0, columns = 0] = X.shape;
  const tensors = {
    W: { shape: [columns, 1], data: init["W"] ?? [] },
    B: { shape: [1], data: init["B"] ?? [] },
  };
  const subject = new RecordedSubject(bench, optimizer, groups, tensors);
  const wrapper = createOptimWrapper(subject.optimizer, {
    accumulativeCounts,
    clipGrad: clipGradOf(clipGrad),
  });
  wrapper.initializeCountStatus({ initCounts: 0, maxCounts });
  const [x, y] = [decode(X.data), decode(Y.data)];
  for (const [index, recorded] of steps.entries()) {
    const { W, B } = await subject.optimizer.readParameters();
    const batch = x.subarray(index * rows * columns, (index + 1) * rows * columns);
    const { loss, ...grads } = meanSquaredError(
      batch,
      y.subarray(index * rows, (index + 1) * rows),
      W as Float32Array,
      B?.[0] as number,
    );
    wrapper.updateParams(subject.loss(grads));
    checks.parameter(`steps[${index}].loss`, [loss], [recorded.loss]);
    const after = await subject.optimizer.readParameters();
    checks.parameter(`steps[${index}].w`, after["W"], recorded.w);
    checks.parameter(`steps[${index}].b`, after["B"], recorded.b);
  }
  wrapper.dispose();
  subject.dispose();
  return checks;
}

function meanSquaredError(
  x: Float32Array,
  y: Float32Array,
  weight: Float32Array,
  bias: number,
): { loss: number; W: number[]; B: number[] } {
  let loss = 0;
  const W = [...weight].map(() => 0);
  const B = [0];
  for (const [row, target] of y.entries()) {
    const inputs = x.subarray(row * weight.length, (row + 1) * weight.length);
    const error =
      inputs.reduce((sum, value, column) => sum + value * (weight[column] as number), bias) - target;
    loss += error ** 2 / y.length;
    for (const [column, value] of inputs.entries())
      W[column] = (W[column] as number) + (2 * error * value) / y.length;
    B[0] = (B[0] as number) + (2 * error) / y.length;
  }
  return { loss, W, B };
}
