import { createOptimWrapper } from "@mm/optim-core";
import type { LossClosure } from "@mm/optim-conformance";
import { Checks } from "../checks.ts";
import type { ClipCase } from "../format.ts";
import { type Bench, RecordedSubject } from "../subject.ts";
import { clipGradOf } from "../torch.ts";

/**
 * `clip_grad_norm_` and `clip_grad_value_`. Parameters of 0 take one step of plain SGD with a learning rate of 1: what comes out is the
 * clipped gradient, negated.
 */
export async function runClip<P, Loss extends LossClosure, LossValue>(
  { clipGrad, grads, totalNorm, clipped, error }: ClipCase,
  bench: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const checks = new Checks();
  const names = grads.map((_, index) => `g${index}`);
  const zeros = grads.map(
    ({ shape, data }, index) => [`g${index}`, { shape, data: data.map(() => 0) }] as const,
  );
  let subject: RecordedSubject<P, Loss, LossValue>;
  try {
    const sgd = { type: "SGD", args: { lr: 1 } };
    subject = new RecordedSubject(bench, sgd, [{ params: names }], Object.fromEntries(zeros));
  } catch (caught) {
    if (error) checks.refusal("error", caught, error.type);
    else checks.unexpected("error", caught);
    return checks;
  }
  const wrapper = createOptimWrapper(subject.optimizer, { clipGrad: clipGradOf(clipGrad) });
  const given = Object.fromEntries(grads.map(({ data }, index) => [`g${index}`, data]));
  let caught: unknown;
  try {
    wrapper.backward(subject.loss(given));
    wrapper.step();
    const { gradNorm } = await wrapper.readMetrics();
    if (totalNorm === null) checks.exact("totalNorm", gradNorm, undefined);
    else if (totalNorm !== undefined) {
      checks.parameter("totalNorm", gradNorm === undefined ? undefined : [Math.fround(gradNorm)], [
        totalNorm,
      ]);
    }
  } catch (thrown) {
    caught = thrown;
  }
  const parameters = await subject.optimizer.readParameters();
  if (error) {
    checks.refusal("error", caught, error.type);
    const pending = await subject.optimizer.readGradients();
    for (const [index, name] of names.entries()) {
      checks.parameter(`clipped[${index}]`, pending[name], clipped[index] ?? []);
      checks.exact(
        `parameter of clipped[${index}]`,
        parameters[name]?.every((value) => value === 0),
        true,
      );
    }
  } else if (caught !== undefined) checks.unexpected("error", caught);
  else {
    for (const [index, name] of names.entries()) {
      checks.parameter(
        `clipped[${index}]`,
        parameters[name]?.map((value) => -value),
        clipped[index] ?? [],
      );
    }
  }
  wrapper.dispose();
  subject.dispose();
  return checks;
}
