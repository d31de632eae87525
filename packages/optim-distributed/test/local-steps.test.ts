// Rare exchanges.
import { createOptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { checkReplicas, type Communicator, localSteps, shardOf } from "@mm/optim-distributed";
import { localCommunicators } from "@mm/optim-distributed/testing";
import { adamw, ema, sgd } from "@mm/optim-rules";
import { wasmOptimizer } from "@mm/optim-wasm";
import { expect, test } from "vitest";
import { refusal } from "../../../test-support/refusal.ts";
import { allocate, batchOf, fill, lossOf, numbers, type Parameters } from "./cases/network.ts";

test("local SGD is the mean of the parameters, DiLoCo a step of Nesterov momentum on the mean way", async () => {
  const outer = { mean: sgd({ lr: 1 }), nesterov: sgd({ lr: 0.5, momentum: 0.5, nesterov: true }) };
  const run = (rule: typeof outer.mean) =>
    Promise.all(
      localCommunicators(2).map(async (communicator) => {
        const [own, shared] = [new Float32Array([1]), new Float32Array([1])];
        const inner = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: own }));
        const wrapper = createOptimWrapper(wasmOptimizer(rule, { w: shared }));
        const local = localSteps(inner, wrapper, { every: 2 }, communicator);
        const seen = [];
        for (let step = 0; step < 4; step += 1) {
          // Rank 0 goes 1 down in a step, rank 1 goes 3 down.
          inner.updateParams(({ grad }) => ((grad("w")[0] = 1 + 2 * communicator.rank), 0));
          const { exchanged } = await local.step();
          seen.push(exchanged, own[0]);
        }
        local.close();
        return seen;
      }),
    );
  // After two steps −1 and −5, whose mean is −3; and −3 − 4 = −7.
  expect(await run(outer.mean)).toEqual([
    [false, 0, true, -3, false, -4, true, -7],
    [false, -2, true, -3, false, -6, true, -7],
  ]);
  // The way is 4. Buffer 4: step 0.5 (4 + 0.5 · 4) = 3, so 1 − 3 = −2. Again 4: buffer 6, step 0.5 (4 + 3) = 3.5, so −5.5.
  expect(await run(outer.nesterov)).toEqual([
    [false, 0, true, -2, false, -3, true, -5.5],
    [false, -2, true, -2, false, -5, true, -5.5],
  ]);
});

test("a rank that did not move does not count in the mean", async () => {
  const ends = await Promise.all(
    localCommunicators(3).map(async (communicator) => {
      const [own, shared] = [new Float32Array([0]), new Float32Array([0])];
      const inner = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: own }));
      const local = localSteps(
        inner,
        createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: shared })),
        { every: 1 },
        communicator,
      );
      if (communicator.rank === 2) inner.skip();
      else inner.updateParams(({ grad }) => ((grad("w")[0] = 2 + 2 * communicator.rank), 0));
      await local.step();
      // Nobody moves: nothing changes.
      inner.skip();
      await local.step();
      return own[0];
    }),
  );
  // Ways of 2 and 4.
  expect(ends).toEqual([-3, -3, -3]);
});

/** The mean loss over rows that nobody trained on. */
function lossAfter(parameters: Parameters): number {
  const rows = Array.from({ length: 40 }, (_, index) => batchOf(5000 + index)).flat();
  const nowhere = () => new Float32Array(32);
  return lossOf(parameters, rows)({ grad: nowhere, scale: 1 });
}

function filled(): Parameters {
  const parameters = allocate();
  fill(parameters);
  return parameters;
}

test("DiLoCo on 4 ranks learns as one process does, with a tenth of the exchanges", async () => {
  const iterations = 300;
  const rowsOf = (iteration: number) => {
    const next = numbers(iteration);
    return Array.from(
      { length: 16 },
      () => batchOf(Math.floor(1e6 * (1 + next())))[0] as ReturnType<typeof batchOf>[0],
    );
  };
  const alone = filled();
  const before = lossAfter(alone);
  const wrapper = createOptimWrapper(wasmOptimizer(adamw({ lr: 0.01 }), alone));
  for (let iteration = 0; iteration < iterations; iteration += 1)
    wrapper.updateParams(lossOf(alone, rowsOf(iteration)));

  const run = async (communicator: Communicator): Promise<Parameters> => {
    const [own, shared] = [filled(), filled()];
    const optim = new OptimWrapperDict({
      inner: createOptimWrapper(wasmOptimizer(adamw({ lr: 0.01 }), own)),
      outer: createOptimWrapper(wasmOptimizer(sgd({ lr: 0.7, momentum: 0.9, nesterov: true }), shared)),
    });
    const local = localSteps(optim.get("inner"), optim.get("outer"), { every: 10 }, communicator);
    for (let iteration = 0; iteration < iterations; iteration += 1) {
      const rows = rowsOf(iteration);
      const { from, to } = shardOf(rows.length, communicator);
      optim.get("inner").updateParams(lossOf(own, rows.slice(from, to)));
      await local.step();
    }
    await checkReplicas(optim.get("outer"), communicator);
    return own;
  };
  const [first] = await Promise.all(localCommunicators(4).map(run));
  // Below half of where it began, and within a tenth of one process's.
  expect(lossAfter(alone)).toBeLessThan(before / 2);
  expect(lossAfter(first as Parameters)).toBeLessThan(1.1 * lossAfter(alone));
});

test("refuses other parameters, other options, and ranks that count otherwise", async () => {
  const [communicator] = localCommunicators(1) as readonly Communicator[] as readonly [Communicator];
  const wrapper = (name: string, length = 1) =>
    createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { [name]: new Float32Array(length) }));
  const invalid: unknown = expect.objectContaining({ code: "invalid-option" });
  expect(() => localSteps(wrapper("a"), wrapper("b"), { every: 1 }, communicator)).toThrow(invalid);
  expect(() => localSteps(wrapper("a"), wrapper("a", 2), { every: 1 }, communicator)).toThrow(invalid);
  expect(() => localSteps(wrapper("a"), wrapper("a"), { every: 0 }, communicator)).toThrow(invalid);
  const others = localCommunicators(2).map((each) =>
    localSteps(wrapper("a"), wrapper("a"), { every: 1 + each.rank }, each).exchange(),
  );
  for (const result of await Promise.allSettled(others)) {
    expect(result).toMatchObject({ reason: { code: "communication-mismatch", ranks: [0, 1] } });
  }
});

test("an exchange while the model is evaluated is refused before anything is sent", async () => {
  const communicator = localCommunicators(1)[0] as Communicator;
  const [own, shared] = [new Float32Array([8]), new Float32Array([8])];
  const inner = createOptimWrapper(wasmOptimizer(ema(sgd({ lr: 1 }), { emaDecay: 0.5 }), { w: own }));
  const outer = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: shared }));
  const local = localSteps(inner, outer, { every: 1 }, communicator);
  inner.updateParams(({ grad }) => ((grad("w")[0] = 4), 0));
  const error = await refusal(() => inner.evaluating(() => local.step()));
  expect(error.code).toBe("evaluating");
  expect([own[0], shared[0]]).toEqual([4, 8]);
  await local.exchange();
  expect([own[0], shared[0]]).toEqual([4, 4]);
});
