import { add, biasCorrection, div, log, lt, mul, type Scalar, select, sub } from "@mm/optim-core/rule";

/** 1 − β₃ at a step of the warm-up, in which the half-life h of ½^(1/h) goes evenly from that of β₁ to that of β₃. */
export function warmShare(step: Scalar, warmup: Scalar, beta1: Scalar, beta3: Scalar): Scalar {
  const halfLife = (beta: Scalar): Scalar => sub(div(Math.log(0.5), log(add(beta, 1e-8))), 1);
  const done = div(step, warmup);
  const grown = add(mul(sub(1, done), halfLife(beta1)), mul(done, halfLife(beta3)));
  // As a bias correction, 1 − ½^(1/h), which keeps its digits on a device where β₃ is near 1.
  return select(lt(step, warmup), biasCorrection(0.5, div(1, add(grown, 1))), sub(1, beta3));
}
