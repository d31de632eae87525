import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { createRun } from "@mm/optim-train";
import { type WasmLoss, wasmOptimizer } from "@mm/optim-wasm";
import { type Case, type Effort, ratio, type Section, sideBySide } from "./measure.ts";

const iterations = 20_000;

/** The cost of a run on top of a bare loop, where an iteration is short. */
export async function loop(effort: Effort): Promise<readonly Section[]> {
  const count = effort.smoke ? 100 : iterations;
  const make = (): OptimWrapper<WasmLoss<"weight" | "bias">, number> => {
    const parameters = { weight: new Float32Array(1000), bias: new Float32Array(10) };
    return createOptimWrapper(wasmOptimizer(adamw({ lr: 1e-9 }), parameters));
  };
  const loss: WasmLoss<"weight" | "bias"> = ({ grad, scale }) => {
    grad("weight").fill(scale);
    grad("bias").fill(scale);
    return 0;
  };
  const trainer = (every: number) => async (): Promise<void> => {
    const optim = make();
    const run = createRun({ optim, until: count, log: { every } });
    for await (const _ of run) run.update(loss);
    optim.dispose();
  };
  const cases: readonly Case[] = [
    {
      name: "bare loop",
      run() {
        const optim = make();
        for (let iteration = 0; iteration < count; iteration += 1) optim.updateParams(loss);
        optim.dispose();
      },
    },
    { name: "run", run: trainer(1000) },
    { name: "run, metrics every iteration", run: trainer(1) },
  ];
  const timings = await sideBySide(cases, effort, 15);
  return [
    {
      title: "The training loop",
      about: `${iterations} iterations of AdamW on 1,010 elements, some 15 µs each, on \`@mm/optim-wasm\`: a \`for\` loop around \`updateParams\`, and \`createRun\` of \`@mm/optim-train\` with metrics read every 1,000 iterations and every one.`,
      timings,
      ratios: [
        ratio(timings, "run", "bare loop", { atMost: 1.1 }),
        ratio(timings, "run, metrics every iteration", "bare loop"),
      ],
    },
  ];
}
