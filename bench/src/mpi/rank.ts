// node rank.js OUT.json SMOKE [LIBRARY]: a rank of the benchmarks of distributed.ts. The first rank writes the times, in milliseconds a call.
import { writeFileSync } from "node:fs";
import { createOptimWrapper, type Optimizer } from "@mm/optim-core";
import { distributed } from "@mm/optim-distributed";
import { openMpi } from "@mm/optim-distributed/mpi";
import { adamw } from "@mm/optim-rules";
import { createArena, type WasmLoss, wasmOptimizer } from "@mm/optim-wasm";
import koffi from "koffi";
import { median } from "../measure.ts";

const [out = "", smoke = "", library = ""] = process.argv.slice(2);
const rounds = smoke === "smoke" ? 1 : 31;
const communicator = openMpi({ timeoutMs: 60_000 });

/** Times of a call, cases taken in turn; all ranks begin each together. `of` makes one of those of all rounds. */
async function timed(
  cases: { readonly [name: string]: () => void | Promise<void> },
  calls: number,
  of: (times: readonly number[]) => number,
): Promise<{ readonly [name: string]: number }> {
  const samples: Record<string, number[]> = {};
  const barrier = new Int32Array(1);
  for (let round = -3; round < rounds; round += 1) {
    for (const [name, run] of Object.entries(cases)) {
      communicator.allReduceSync(barrier);
      const begin = performance.now();
      await run();
      if (round >= 0) (samples[name] ??= []).push((performance.now() - begin) / calls);
    }
  }
  return Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, of(values)]));
}

async function allReduces(bytes: number): Promise<{ readonly [name: string]: number }> {
  const buffer = new Float32Array(bytes / 4);
  // About as long for all sizes.
  const calls = smoke === "smoke" ? 1 : Math.max(1, Math.min(400, Math.round(2 ** 24 / bytes)));
  const inC = koffi.load(library).func("double all_reduce(void *, int, int)");
  return timed(
    {
      C() {
        if ((inC(buffer, buffer.length, calls) as number) < 0) throw new Error("MPI failed in C");
      },
      allReduceSync() {
        for (let call = 0; call < calls; call += 1) communicator.allReduceSync(buffer);
      },
      async allReduce() {
        for (let call = 0; call < calls; call += 1) await communicator.allReduce(buffer);
      },
    },
    calls,
    // Two processes that wait for each other need two processors at once: wherever anybody else runs, a median tells of that.
    (times) => Math.min(...times),
  );
}

/** A whole update of AdamW in an arena, whose gradient costs one pass; as a rank of all, and alone. */
async function updates(length: number): Promise<{ readonly [name: string]: number }> {
  const update = (optimizer: (arena: { w: Float32Array }) => Optimizer<WasmLoss<"w">, number>) => {
    const optim = createOptimWrapper(optimizer(createArena({ w: length }, { slots: 2 })));
    const loss: WasmLoss<"w"> = ({ grad, scale }) => {
      grad("w").fill(scale);
      return 0;
    };
    return (): void => void optim.updateParams(loss);
  };
  const rule = adamw({ lr: 1e-3 });
  return timed(
    {
      alone: update((arena) => wasmOptimizer(rule, arena)),
      distributed: update((arena) => distributed(wasmOptimizer(rule, arena), communicator)),
    },
    1,
    median,
  );
}

const scale = smoke === "smoke" ? 256 : 1;
const results = {
  reductions: [] as { readonly bytes: number; readonly times: { readonly [name: string]: number } }[],
  updates: [] as { readonly length: number; readonly times: { readonly [name: string]: number } }[],
};
if (library !== "") {
  for (const bytes of [2 ** 10, 2 ** 14, 2 ** 18, 2 ** 20, 2 ** 22, 2 ** 24]) {
    results.reductions.push({ bytes, times: await allReduces(Math.max(4, bytes / scale)) });
  }
}
for (const length of [2 ** 14, 2 ** 18, 2 ** 20, 2 ** 22]) {
  results.updates.push({ length, times: await updates(length / scale) });
}
if (communicator.rank === 0) writeFileSync(out, JSON.stringify(results));
