import { createOptimWrapper } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { type WasmLoss, wasmOptimizer } from "@mm/optim-wasm";
import { type Case, type Effort, ratio, type Section, sideBySide } from "./measure.ts";

const tensors = 10;
const length = 1000;
const updates = 200;

/** The cost of the wrapper on top of the optimizer, where a step is short. */
export async function overhead(effort: Effort): Promise<readonly Section[]> {
  const names = Array.from({ length: tensors }, (_, index) => `w${index}`);
  const parameters = (): Record<string, Float32Array> =>
    Object.fromEntries(names.map((name) => [name, new Float32Array(length).fill(1)]));
  const loss: WasmLoss = ({ grad, scale }) => {
    for (const name of names) grad(name).fill(scale);
    return 0;
  };
  const bare = wasmOptimizer(adamw({ lr: 1e-3 }), parameters());
  const wrapped = createOptimWrapper(wasmOptimizer(adamw({ lr: 1e-3 }), parameters()));
  const cases: readonly Case[] = [
    {
      name: "optimizer",
      run() {
        for (let update = 0; update < updates; update += 1) {
          bare.backward(loss);
          bare.step();
          bare.zeroGrad();
        }
      },
    },
    {
      name: "wrapper",
      run() {
        for (let update = 0; update < updates; update += 1) wrapped.updateParams(loss);
      },
    },
  ];
  const timings = await sideBySide(cases, effort);
  wrapped.dispose();
  bare.dispose();
  return [
    {
      title: "The wrapper itself",
      about: `${updates} updates of AdamW on ${tensors} tensors of ${length} elements, on \`@mm/optim-wasm\`: \`updateParams\` against \`backward\`, \`step\` and \`zeroGrad\` of the optimizer it wraps.`,
      timings,
      ratios: [ratio(timings, "wrapper", "optimizer")],
    },
  ];
}
