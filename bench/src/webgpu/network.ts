import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import { type Effort, passRatio, type Section } from "../measure.ts";
import { described, names, type Shape, small, tiny, trainingCases, trainingRatios } from "../network.ts";
import type { Adapter } from "./adapters.ts";
import { onDevice } from "./on-device.ts";
import type { Flush } from "./tfjs.ts";

/** Steps in a sample. */
const repeats = 10;

export async function trainingSteps(adapter: Adapter, flush: Flush, effort: Effort): Promise<Section[]> {
  return [
    await trainingStep(adapter, flush, effort, small, { overFloor: { atMost: 1.05 } }),
    await trainingStep(adapter, flush, effort, tiny, { plain: { atLeast: 1.3 } }),
  ];
}

async function trainingStep(
  adapter: Adapter,
  flush: Flush,
  effort: Effort,
  shape: Shape,
  goals: Parameters<typeof trainingRatios>[1],
): Promise<Section> {
  const { cases, dispose } = trainingCases(shape, tfjsOptimizer);
  const timings = await onDevice(
    adapter,
    cases.map((one) => ({ ...one, flush })),
    effort,
    repeats,
  );
  dispose();
  const [whole, ...others] = trainingRatios(timings, goals);
  const column = shape === small ? "a whole training step" : "a step of a tiny network";
  return {
    title: `A training step of ${shape.title} on tfjs-webgpu, ${adapter.name}`,
    about: `Loss, gradients and Adam: ${described(shape)}. ${repeats} steps a sample and more, nine rounds. The floor is what no optimizer could go below.`,
    timings,
    ratios: [
      ...(whole === undefined ? [] : [{ ...whole, column }]),
      ...others,
      ...passRatio(timings, names.nativeAlone, names.alone),
    ],
  };
}
