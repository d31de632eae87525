import {
  type BaseHyperparameters,
  createOptimWrapper,
  type OptimWrapper,
  type OptimWrapperOptions,
} from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { arrayOptimizer, type GivenGradients } from "../../../test-support/array-optimizer.ts";

export type Wrapper<H extends BaseHyperparameters> = OptimWrapper<GivenGradients, undefined, H>;

/** One parameter, one group. */
export function wrap<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  options?: OptimWrapperOptions,
): Wrapper<H> {
  return createOptimWrapper(arrayOptimizer(rule, { w: new Float32Array(1) }), options);
}

/** Two groups, `"body"` with the rule's learning rate of 0.1 and `"head"` with 0.01, and so base settings. */
export function wrapTwo(options?: OptimWrapperOptions): Wrapper<SgdHyperparameters> {
  const groups = [
    { name: "body", params: { w: new Float32Array(1) } },
    { name: "head", params: { v: new Float32Array(1) }, lr: 0.01 },
  ];
  return createOptimWrapper(arrayOptimizer(sgd({ lr: 0.1, momentum: 0.9 }), groups), options);
}

/** One micro-batch with a gradient of 1 for `w`. */
export const batch: GivenGradients = () => ({ w: [1] });
