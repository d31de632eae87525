// node little-memory.mjs: trains small optimizers, a large one and one on an arena, under whatever limit the shell has set. The outcome
// goes to stdout as JSON.
import { readFileSync } from "node:fs";
import { isOptimError } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";

/** Addresses that the process has reserved, in MB. */
const reserved = (): number =>
  Number(/VmSize:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024;

function train(params: { readonly [name: string]: Float32Array }): { w: number; compiled: boolean } {
  const optimizer = wasmOptimizer(sgd({ lr: 0.5, momentum: 0.5 }), params);
  for (let step = 0; step < 2; step += 1) {
    optimizer.zeroGrad();
    optimizer.backward(({ grad }) => Number(grad("w").fill(1)));
    optimizer.step();
  }
  kept.push(optimizer);
  return { w: params["w"]?.[0] as number, compiled: optimizer.capabilities.compiled };
}

const kept: unknown[] = [];
const outcome = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (error) {
    return isOptimError(error) ? error.code : String(error);
  }
};
const before = reserved();
const small = Array.from({ length: 20 }, () => outcome(() => train({ w: new Float32Array(4) })));
const bySmall = Math.round(reserved() - before);
process.stdout.write(
  JSON.stringify({
    small,
    bySmall,
    large: outcome(() => train({ w: new Float32Array(1_000_000) })),
    arena: outcome(() => train(createArena({ w: 1000 }))),
    // Adam: 1.2 GB each for the accumulator, two slots and the copy. (Below a limit the array itself cannot be had.)
    huge: outcome(() => wasmOptimizer(adam(), { w: new Float32Array(300_000_000) }).capabilities.compiled),
  }),
);
