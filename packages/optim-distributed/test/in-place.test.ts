// Gradients of an arena are summed where they are.
import { createOptimWrapper } from "@mm/optim-core";
import { adamw, ema, sgd } from "@mm/optim-rules";
import { compressed, distributed, type SlicingCommunicator, type Summable } from "@mm/optim-distributed";
import { workerCommunicator } from "@mm/optim-distributed/testing";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";
import { expect, test, vi } from "vitest";
import { refusal } from "../../../test-support/refusal.ts";

/** One rank alone, which notes the buffers that it sums. */
function recording(): { readonly communicator: SlicingCommunicator; readonly sums: Summable[] } {
  const sums: Summable[] = [];
  const noting = (inner: SlicingCommunicator): SlicingCommunicator => ({
    ...inner,
    allReduceSync(buffer) {
      sums.push(buffer);
      inner.allReduceSync?.(buffer);
    },
    duplicate: () => noting(inner.duplicate()),
  });
  return { communicator: noting(workerCommunicator(new SharedArrayBuffer(1 << 12), 0, 1)), sums };
}

function train(lossy: boolean) {
  const { communicator, sums } = recording();
  const arena = createArena({ w: 100, b: 3 });
  const inner = wasmOptimizer(adamw(), arena);
  const given = lossy ? compressed(communicator, "bf16") : communicator;
  const optim = createOptimWrapper(distributed(inner, given), {
    accumulativeCounts: 2,
    clipGrad: { maxNorm: 1 },
    lossScale: "dynamic",
  });
  const update = () =>
    optim.updateParams(({ grad, scale }) => {
      grad("w").fill(scale);
      grad("b").fill(scale);
      return 0;
    });
  // The first step compares options, too.
  update();
  update();
  const calls = (["readGradients", "readGradientsSync", "writeGradients"] as const).map((name) =>
    vi.spyOn(inner, name),
  );
  sums.length = 0;
  for (let step = 0; step < 20; step += 1) update();
  return { sums, calls, inner, w: arena.w };
}

test("one sum a window, of the arena's own array: no gradient is read, copied or written", () => {
  const { sums, calls, inner, w } = train(false);
  expect(sums.length).toBe(10);
  for (const sum of sums) expect(sum).toBe(inner.gradientView);
  for (const call of calls) expect(call).not.toHaveBeenCalled();
  expect(w[99]).toBeLessThan(0);
});

test("on the way as bfloat16: the gradients where they are, and what must not be rounded by itself", () => {
  const { sums, calls, inner, w } = train(true);
  const { buffer, byteOffset } = inner.gradientView!;
  // The weight and two flags, behind 128 and 64 elements.
  expect(sums.length).toBe(10);
  for (const sum of sums)
    expect([sum.buffer, sum.byteOffset, sum.length]).toEqual([buffer, byteOffset + 4 * 192, 3]);
  for (const call of calls) expect(call).not.toHaveBeenCalled();
  expect(w[99]).toBeLessThan(0);
});

test("a distributed optimizer has the evaluation point of the one inside, and steps nothing meanwhile", async () => {
  const { communicator, sums } = recording();
  const w = new Float32Array([8]);
  const rule = ema(sgd({ lr: 1 }), { emaDecay: 0.5 });
  const optim = createOptimWrapper(distributed(wasmOptimizer(rule, { w }), communicator));
  const update = () => optim.updateParams(({ grad }) => ((grad("w")[0] = 4), 0));
  update();
  sums.length = 0;
  // x = 0.5 · 8 + 0.5 · 4
  expect(await optim.evaluating(() => w[0])).toBe(6);
  expect((await optim.readSlots(["ema"])).ema["w"]).toEqual(new Float32Array([6]));
  for (const call of [update, () => optim.step(), () => optim.skip(), () => optim.stateDict()]) {
    expect((await refusal(() => optim.evaluating(call))).code).toBe("evaluating");
  }
  // Nor is anything sent, which other ranks would wait for.
  expect(sums).toEqual([]);
  expect(w[0]).toBe(4);
  optim.swapIn();
  optim.dispose();
  expect(w[0]).toBe(4);
});
