import type { Capabilities } from "../../capabilities.ts";

import { checkOnHost } from "./check.ts";
import { clipCoefficient, type StepClip } from "./clip.ts";
import type { Checked, CheckRequest, StepItem, StepStages } from "../engine.ts";
import { unscaleFactor } from "./unscale.ts";
import { hostUpdate, type ParameterAccess } from "./update.ts";
import type { VectorKernels } from "../program/vectors.ts";

/** The capabilities of an optimizer whose steps are those of {@link hostStages}, in place. Spread it, and correct what differs. */
export const hostCapabilities: Capabilities = /* @__PURE__ */ Object.freeze({
  decides: "host",
  inPlace: true,
  rules: true,
  liveHyperparameters: true,
  groups: true,
  perParameterSteps: true,
  portableState: true,
  transfer: true,
  maxParameterLength: Number.POSITIVE_INFINITY,
});

/** The stages of every backend whose results the host can see at once, over its kernels. */
export function hostStages<P, V>(
  kernels: VectorKernels<V>,
  access: ParameterAccess<P, V>,
): StepStages<P, V, number> {
  const update = hostUpdate(kernels, access);
  let gradNorm: number | undefined;
  let steps = 0;
  let skipped = 0;
  return {
    check: (items: readonly StepItem<P, V, number>[], request: CheckRequest): Checked<number> =>
      checkOnHost(kernels, items, request),
    unscale: unscaleFactor,
    clip(factor: number, { norm }: Checked<number>, clipGrad: StepClip | undefined): number {
      gradNorm = norm === undefined ? undefined : norm * Math.abs(factor);
      return gradNorm === undefined ? factor : factor * clipCoefficient(gradNorm, clipGrad);
    },
    update(items, factor, { finite }, clipGrad) {
      if (finite === 0) skipped += 1;
      else {
        update(items, factor, clipGrad);
        steps += 1;
      }
    },
    run: (items) => update(items, 1, undefined, false),
    readMetrics: () => Promise.resolve({ ...(gradNorm !== undefined && { gradNorm }), steps, skipped }),
    writeCounts(counts) {
      ({ steps, skipped } = counts);
    },
  };
}
