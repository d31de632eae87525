import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import { type Effort, passRatio, type Section } from "../measure.ts";
import { calls, names, type Network, small, tiny, trainingCases, trainingRatios } from "../network.ts";
import type { Adapter } from "./adapters.ts";
import { onDevice } from "./on-device.ts";
import type { Flush } from "./tfjs.ts";

/** Steps in a sample. */
const repeats = 10;

export async function trainingSteps(adapter: Adapter, flush: Flush, effort: Effort): Promise<Section[]> {
  return [
    await trainingStep(adapter, flush, effort, small, {
      column: "a whole training step",
      goals: { overFloor: { atMost: 1.05 } },
    }),
    // On SwiftShader tf.matMul takes 60 ms for matrices of 8 × 8, and a sum 1 ms: calls do not bound this one there.
    await trainingStep(adapter, flush, effort, tiny, {}),
    await trainingStep(adapter, flush, effort, calls, {
      column: "a step bound by calls",
      goals: { plain: { atLeast: 1.3 } },
    }),
  ];
}

async function trainingStep(
  adapter: Adapter,
  flush: Flush,
  effort: Effort,
  network: Network,
  { column, goals }: { readonly column?: string; readonly goals?: Parameters<typeof trainingRatios>[1] },
): Promise<Section> {
  const { cases, dispose } = trainingCases(network, tfjsOptimizer);
  const timings = await onDevice(
    adapter,
    cases.map((one) => ({ ...one, flush })),
    effort,
    repeats,
  );
  dispose();
  const [whole, ...others] = trainingRatios(timings, goals);
  return {
    title: `A training step of ${network.title} on tfjs-webgpu, ${adapter.name}`,
    about: `Loss, gradients and Adam: ${network.about}. ${repeats} steps a sample and more, nine rounds. The floor is what no optimizer could go below.`,
    timings,
    ratios: [
      ...(whole === undefined ? [] : [{ ...whole, ...(column !== undefined && { column }) }]),
      ...others,
      ...passRatio(timings, names.nativeAlone, names.alone),
    ],
  };
}
