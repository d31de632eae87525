// `dataParallel` against one process on the whole batch, on the wasm backend; other backends have tests of their own.
import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adamw, sgd } from "@mm/optim-rules";
import { checkReplicas, type Communicator, compressed, dataParallel, shardOf } from "@mm/optim-distributed";
import { localCommunicators } from "@mm/optim-distributed/testing";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { allocate, batchOf, fill, lengths, lossOf, type Name, type Parameters } from "./cases/network.ts";

const wrap = (parameters: Parameters, options: OptimWrapperOptions) =>
  createOptimWrapper(wasmOptimizer(adamw({ lr: 0.01 }), parameters), options);

function filled(): Parameters {
  const parameters = allocate();
  fill(parameters);
  return parameters;
}

const differenceOf = (a: Parameters, b: Parameters): number =>
  Math.max(
    ...(Object.keys(lengths) as Name[]).flatMap((name) =>
      Array.from(a[name], (value, index) => Math.abs(value - (b[name][index] as number))),
    ),
  );

/** The training of one rank: its rows of each batch, or nothing. @returns which calls stepped */
async function train(
  communicator: Communicator,
  parameters: Parameters,
  options: OptimWrapperOptions,
  iterations: number,
): Promise<readonly boolean[]> {
  const wrapper = wrap(parameters, options);
  const parallel = dataParallel(wrapper, communicator);
  const updated = [];
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    const rows = batchOf(iteration);
    const { from, to } = shardOf(rows.length, communicator);
    const result =
      from === to
        ? await parallel.skip()
        : await parallel.updateParams(lossOf(parameters, rows.slice(from, to)), { weight: to - from });
    updated.push(result.updated);
  }
  updated.push((await parallel.flush()).updated);
  expect(wrapper.innerCount).toBe(iterations);
  await checkReplicas(wrapper, communicator);
  parallel.close();
  return updated;
}

/** The same by one process on the whole batch. */
function trainAlone(
  parameters: Parameters,
  options: OptimWrapperOptions,
  iterations: number,
): readonly boolean[] {
  const wrapper = wrap(parameters, options);
  const updated = [];
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    const rows = batchOf(iteration);
    updated.push(wrapper.updateParams(lossOf(parameters, rows), { weight: rows.length }).updated);
  }
  updated.push(wrapper.flush().updated);
  return updated;
}

describe.each([1, 2, 3, 4])("%d ranks", (size) => {
  test.each<[string, OptimWrapperOptions]>([
    ["plain", {}],
    ["windows of 3, clipped", { accumulativeCounts: 3, clipGrad: { maxNorm: 0.05 } }],
    [
      "windows of 2, dynamic scale",
      { accumulativeCounts: 2, lossScale: { initScale: 256, growthInterval: 3 } },
    ],
  ])("%s: 50 steps as one process on the whole batch", async (_, options) => {
    const [alone, ranks] = [filled(), Array.from({ length: size }, filled)];
    const expectedUpdates = trainAlone(alone, options, 50);
    const communicators = localCommunicators(size);
    const updates = await Promise.all(
      communicators.map((communicator, rank) => train(communicator, ranks[rank] as Parameters, options, 50)),
    );
    for (const [rank, parameters] of ranks.entries()) {
      // The last flush steps what is left; where nothing is, all ranks and one process agree on that too.
      expect(updates[rank]).toEqual(expectedUpdates);
      // A few units in the last place of numbers below 1.
      expect(differenceOf(parameters, alone)).toBeLessThan(1e-6);
    }
  });

  test("bfloat16 on the way: near to one process, and replicas equal to the bit", async () => {
    const [alone, ranks] = [filled(), Array.from({ length: size }, filled)];
    trainAlone(alone, {}, 40);
    await Promise.all(
      localCommunicators(size).map((communicator, rank) =>
        train(compressed(communicator, "bf16"), ranks[rank] as Parameters, {}, 40),
      ),
    );
    const difference = differenceOf(ranks[0] as Parameters, alone);
    // 2⁻⁹ of each gradient, twice; 40 steps of 0.01 cannot differ by more than 0.8. Measured: 2e-3 to 7e-3.
    expect(difference).toBeLessThan(0.02);
    expect(difference).toBeGreaterThan(1e-6);
  });
});

test("calls are done in order, however they are made", async () => {
  const [communicator] = localCommunicators(1);
  const w = new Float32Array([0]);
  const wrapper = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w }));
  const parallel = dataParallel(wrapper, communicator as Communicator);
  const seen: number[] = [];
  const calls = [1, 2, 3].map((gradient) =>
    parallel.updateParams(
      ({ grad }) => {
        seen.push(w[0] as number);
        grad("w")[0] = gradient;
        return gradient;
      },
      { returnLoss: true },
    ),
  );
  expect((await Promise.all(calls)).map(({ loss }) => loss)).toEqual([1, 2, 3]);
  // 0 − 1 − 2 − 3.
  expect(seen).toEqual([0, -1, -3]);
  expect(w[0]).toBe(-6);
});

test("wrappers in mid-window, other options, and what is no wrapper are refused", async () => {
  const [communicator] = localCommunicators(1) as readonly Communicator[] as readonly [Communicator];
  const w = new Float32Array([0]);
  const wrapper = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w }), { accumulativeCounts: 2 });
  wrapper.updateParams(({ grad }) => ((grad("w")[0] = 1), 0));
  const parallel = dataParallel(wrapper, communicator);
  const loss = ({ grad }: { grad: (name: "w") => Float32Array }): number => ((grad("w")[0] = 1), 0);
  await expect(parallel.updateParams(loss)).rejects.toMatchObject({ code: "window-open" });
  wrapper.zeroGrad();
  await expect(parallel.updateParams(loss, { weight: -1 })).rejects.toMatchObject({ code: "invalid-option" });
  await expect(parallel.updateParams(loss, { wait: 1 } as never)).rejects.toMatchObject({
    code: "unknown-option",
  });
  await expect(parallel.updateParams(loss)).resolves.toEqual({ updated: true });
  expect(() => dataParallel({} as never, communicator)).toThrow(
    expect.objectContaining({ code: "invalid-wrapper" }),
  );
  expect(() => dataParallel(wrapper, {} as never)).toThrow(
    expect.objectContaining({ code: "invalid-option" }),
  );
});

test("ranks with other rates are refused by the first call, on every rank", async () => {
  const calls = localCommunicators(3).map((communicator, rank) => {
    const optimizer = wasmOptimizer(sgd({ lr: rank === 1 ? 0.5 : 1 }), { w: new Float32Array(1) });
    return dataParallel(createOptimWrapper(optimizer), communicator).skip();
  });
  const results = await Promise.allSettled(calls);
  for (const result of results) {
    expect(result).toMatchObject({ reason: { code: "communication-mismatch", ranks: [1] } });
  }
});
