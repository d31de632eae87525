import { type BackwardOptions, createOptimWrapper, type LossScaler } from "@mm/optim-core";
import type { CheckRequest, Program } from "@mm/optim-core/backend";
import { expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, heavyBall, type LossClosure, observed } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

// The calls of an engine beyond arithmetic.

test("a backward that completes a window says that a step follows, and after the step the engine may hand over", () => {
  const seen = observed();
  seen.engine = { flush: () => seen.log.push("flush") };
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) }, seen);
  const { backward } = optimizer;
  const hints: (boolean | undefined)[] = [];
  const wrapper = createOptimWrapper(
    {
      ...optimizer,
      backward(loss: LossClosure, options?: BackwardOptions) {
        hints.push(options?.stepFollows);
        return backward(loss, options);
      },
    },
    { accumulativeCounts: 2 },
  );
  const loss = gradients({ w: [1] });
  wrapper.updateParams(loss);
  seen.log.length = 0;
  wrapper.updateParams(loss);
  expect(seen.log).toEqual([
    "loss",
    "accumulate",
    "check",
    "unscale",
    "clip",
    "update",
    "flush",
    "flush",
    "zeroGrad",
  ]);
  wrapper.backward(loss);
  expect(hints.map(Boolean)).toEqual([false, true, false]);
});

test("an engine may hand over after a step that had nothing to do, and after one that was refused", async () => {
  const seen = observed();
  seen.engine = { flush: () => seen.log.push("flush") };
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) }, seen);
  expect(optimizer.step()).toBe(false);
  expect(seen.log).toEqual(["flush"]);
  expect(await refusal(() => optimizer.step({ rescale: Number.NaN }))).toMatchObject({
    code: "invalid-option",
  });
  expect(seen.log).toEqual(["flush", "flush"]);
  expect(
    await refusal(() => optimizer.backward(gradients({}), { stepFollows: 1 as unknown as boolean })),
  ).toMatchObject({ code: "invalid-option" });
});

test("the check is told who is told afterwards", () => {
  const asked: (LossScaler | undefined)[] = [];
  const seen = observed();
  const plain = arrayOptimizer(descent(), { w: new Float32Array(1) });
  seen.engine = {
    stages: {
      check(_items: readonly unknown[], { lossScaler }: CheckRequest) {
        asked.push(lossScaler);
        return { norm: undefined, finite: 1 };
      },
      unscale: (rescale) => rescale,
      clip: (factor) => factor,
      update() {},
      run() {},
      readMetrics: () => Promise.resolve({ steps: 0, skipped: 0 }),
      writeCounts() {},
    },
  };
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) }, seen);
  const lossScaler = plain.createLossScaler(8);
  optimizer.backward(gradients({ w: [1] }), { lossScaler });
  optimizer.step({ lossScaler });
  optimizer.step();
  // Gradients that carry no scale are none of its business.
  optimizer.zeroGrad();
  optimizer.backward(gradients({ w: [1] }));
  optimizer.step({ lossScaler });
  expect(asked).toEqual([lossScaler, undefined, undefined]);
});

test("a program that the engine refuses is refused at the assignment that leads to it", async () => {
  const seen = observed();
  seen.engine = {
    prepareProgram({ slots }: Program) {
      if (slots.length > 0) throw new Error("no room for slots");
    },
  };
  const optimizer = arrayOptimizer(heavyBall({ momentum: 0 }), { w: new Float32Array(1) }, seen);
  expect(() => {
    optimizer.paramGroups[0].momentum = 0.5;
  }).toThrow("no room for slots");
  expect(optimizer.paramGroups[0].momentum).toBe(0);
});

/** Parameters of whole numbers, whose `master` keeps what the rounding loses. */
function rounding() {
  const seen = observed();
  seen.engine = {
    describe: (value) => ({ shape: [value.length], identity: value, master: true }),
    allocateCopy({ value }) {
      seen.live += 1;
      return value.slice();
    },
  };
  const w = Float32Array.of(3, 4);
  const optimizer = arrayOptimizer(heavyBall({ momentum: 0.5 }), { w }, seen);
  const train = (): void => {
    optimizer.backward(gradients({ w: [1, 1] }));
    optimizer.step();
    optimizer.zeroGrad();
  };
  return { seen, w, optimizer, train };
}

test("a master begins with what the parameter holds at its first step, and is saved and freed with the slots", async () => {
  const { seen, optimizer, train } = rounding();
  expect((await optimizer.stateDict()).params[0]?.slots).toEqual({});
  train();
  const { slots } = (await optimizer.stateDict()).params[0] ?? {};
  expect(slots?.["master"]).toEqual(Float32Array.of(3, 4));
  expect(Object.keys(slots ?? {})).toEqual(["master", "buffer"]);
  optimizer.dispose();
  expect(seen.live).toBe(0);
});

test("a master is loaded where there is one, left out where a parameter is float32, and kept where the state has none", async () => {
  const from = rounding();
  from.train();
  const state = await from.optimizer.stateDict();
  state.params[0]?.slots["master"]?.set([2.5, 3.5]);

  const to = rounding();
  expect(to.optimizer.prepareLoad(state).commit()).toEqual({
    missing: [],
    unexpected: [],
    changed: [],
    defaulted: [],
  });
  const loaded = await to.optimizer.stateDict();
  expect(loaded).toEqual(state);

  const plain = arrayOptimizer(heavyBall({ momentum: 0.5 }), { w: Float32Array.of(3, 4) });
  expect(plain.prepareLoad(state).commit()).toEqual({
    missing: [],
    unexpected: [],
    changed: [],
    defaulted: [],
  });
  const withoutMaster = await plain.stateDict();
  expect(Object.keys(withoutMaster.params[0]?.slots ?? {})).toEqual(["buffer"]);

  expect(to.optimizer.prepareLoad(withoutMaster).commit()).toEqual({
    missing: [],
    unexpected: [],
    changed: [],
    defaulted: [],
  });
  expect((await to.optimizer.stateDict()).params[0]?.slots["master"]).toEqual(Float32Array.of(2.5, 3.5));
});
