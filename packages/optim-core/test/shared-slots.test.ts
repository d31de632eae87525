import { createOptimWrapper } from "@mm/optim-core";
import { add, defineUpdateRule, mul, norm, select, eq, shared, sub, total } from "@mm/optim-core/rule";
import { describe, expect, test, vi } from "vitest";
import { refusal } from "../../../test-support/refusal.ts";
import { arrayOptimizer, gradients } from "./backend.ts";

/** Adds up the norms of all gradients, and moves by the sum: all ← keep·all + Σ‖g‖; θ ← θ − all. */
const adding = defineUpdateRule({
  name: "Adding",
  hyperparameters: { lr: 1, keep: 1, start: 0 },
  scalarSlots: ({ start }) => ({ all: shared(start) }),
  update({ param, grad, all }, { lr, keep }) {
    const next = add(mul(keep, all), total(mul(lr, norm(grad))));
    return { param: sub(param, next), all: next };
  },
});

const zeros = () => ({ a: new Float32Array(1), b: new Float32Array(1), c: new Float32Array(1) });

describe("a shared slot", () => {
  test("moves once a step, whichever tensors take it, and counts for one that joins", async () => {
    const { a, b, c } = zeros();
    const wrapper = createOptimWrapper(arrayOptimizer(adding(), { a, b, c }));
    wrapper.updateParams(gradients({ a: [1], b: [2] })); // all = 3
    wrapper.updateParams(gradients({ a: [1] })); // 4
    wrapper.updateParams(gradients({ b: [2], c: [3] })); // 9
    expect([...a, ...b, ...c]).toEqual([-7, -12, -9]);
    const { optimizer } = await wrapper.stateDict();
    // a took no part in the last step, and has the number of now all the same.
    expect(optimizer.params.map(({ scalarSlots }) => scalarSlots)).toEqual([
      { all: 9 },
      { all: 9 },
      { all: 9 },
    ]);
  });

  test("is loaded, also for a tensor that took no step before", async () => {
    const first = createOptimWrapper(arrayOptimizer(adding(), zeros()));
    first.updateParams(gradients({ a: [1], b: [2] })); // 3
    const state = await first.stateDict();
    expect(state.optimizer.params[2]?.scalarSlots).toEqual({});
    const { a, b, c } = zeros();
    // One that has stepped further: what it has is replaced.
    const second = createOptimWrapper(arrayOptimizer(adding(), { a, b, c }));
    second.updateParams(gradients({ c: [100] }));
    second.prepareLoad(state).commit();
    for (const each of [a, b, c]) each.fill(0);
    second.updateParams(gradients({ c: [4] })); // 7
    second.updateParams(gradients({ a: [1] })); // 8
    expect([...a, ...b, ...c]).toEqual([-8, 0, -7]);
  });

  test("is frozen with nobody: what is frozen meanwhile takes over the number when it goes on", () => {
    const { a, b, c } = zeros();
    const optimizer = arrayOptimizer(adding(), { a, b, c });
    const wrapper = createOptimWrapper(optimizer);
    optimizer.freeze(["b"]);
    wrapper.updateParams(gradients({ a: [1], b: [50] }));
    optimizer.unfreeze(["b"]);
    wrapper.updateParams(gradients({ b: [2] }));
    expect([...a, ...b]).toEqual([-1, -3]);
  });

  test("stays where the step is skipped", async () => {
    const { a, b, c } = zeros();
    const wrapper = createOptimWrapper(arrayOptimizer(adding(), { a, b, c }), { onNonFinite: "skip" });
    wrapper.updateParams(gradients({ a: [2] }));
    wrapper.updateParams(gradients({ a: [Infinity], b: [1] }));
    wrapper.updateParams(gradients({ b: [1] }));
    expect([...a, ...b]).toEqual([-2, -3]);
  });

  test("is of all groups of its rule, each with a learning rate of its own", () => {
    const { a, b, c } = zeros();
    const groups = [{ params: { a } }, { params: { b, c }, lr: 10 }] as const;
    const wrapper = createOptimWrapper(arrayOptimizer(adding(), groups));
    wrapper.updateParams(gradients({ a: [1], b: [2] }));
    // 1·1 + 10·2
    expect([...a, ...b]).toEqual([-21, -21]);
  });

  test("refuses a step by groups that differ in what it reads, and nothing has changed", async () => {
    const { a, b, c } = zeros();
    const groups = [
      { name: "one", params: { a } },
      { name: "two", params: { b, c }, keep: 0.5 },
    ] as const;
    const optimizer = arrayOptimizer(adding(), groups);
    const wrapper = createOptimWrapper(optimizer);
    const error = await refusal(() => wrapper.updateParams(gradients({ a: [1], b: [2] })));
    expect(error.code).toBe("invalid-hyperparameter");
    expect(error.message).toMatch(
      /group "two"\.keep: expected 1, as group "one" has: every group shares all of Adding.*0\.5/s,
    );
    expect([...a, ...b]).toEqual([0, 0]);
    wrapper.zeroGrad();
    for (const group of optimizer.paramGroups) group.keep = 1;
    wrapper.updateParams(gradients({ a: [1], b: [2] }));
    expect([...a, ...b]).toEqual([-3, -3]);
  });

  test("costs a step no map and no set, once its tensors have stepped", () => {
    const counting = defineUpdateRule({
      name: "Counting",
      hyperparameters: { lr: 1 },
      scalarSlots: () => ({ all: shared(0) }),
      update: ({ param, all }, { lr }) => ({ param: sub(param, mul(lr, all)), all: add(all, 1) }),
    });
    const { a, b, c } = zeros();
    const optimizer = arrayOptimizer(counting(), [{ params: { a } }, { params: { b, c }, lr: 2 }]);
    const step = (names: readonly string[]): number => {
      optimizer.backward(gradients(Object.fromEntries(names.map((name) => [name, [1]]))));
      let made = 0;
      const counted = <T extends object>(constructor: T): T =>
        new Proxy(constructor, {
          construct(target, args, newTarget) {
            made += 1;
            return Reflect.construct(target as never, args, newTarget) as object;
          },
        });
      vi.stubGlobal("Map", counted(Map));
      vi.stubGlobal("Set", counted(Set));
      try {
        optimizer.step();
      } finally {
        vi.unstubAllGlobals();
      }
      optimizer.zeroGrad();
      return made;
    };
    // Slots are made here, so it is seen that the count counts.
    expect(step(["a", "b", "c"])).toBeGreaterThan(0);
    expect([step(["a", "b"]), step(["c"]), step(["a", "b", "c"])]).toEqual([0, 0, 0]);
    // The numbers before each step are 0, 1, 2, 3.
    expect([...a, ...b, ...c]).toEqual([-4, -8, -10]);
  });

  test("does not depend on one tensor alone: refused by the name of what does", async () => {
    const counted = defineUpdateRule({
      name: "Counted",
      hyperparameters: { lr: 1 },
      scalarSlots: () => ({ all: shared(0) }),
      update: ({ param, grad, step, all }, { lr }) => ({
        param: sub(param, mul(lr, grad)),
        all: select(eq(all, 0), step, all),
      }),
    });
    const error = await refusal(() => arrayOptimizer(counted(), zeros()));
    expect(error.code).toBe("invalid-rule");
    expect(error.message).toMatch(
      /Counted: update: expected a next value of the shared slot all.*total.*step/s,
    );
  });

  test("is shared in every structure or in none", async () => {
    const error = await refusal(() =>
      defineUpdateRule({
        name: "Either",
        hyperparameters: { lr: 1, together: false },
        scalarSlots: (_, { together }) => ({ all: together ? shared(0) : 0 }),
        update: ({ param, all }) => ({ param, all }),
      }),
    );
    expect(error.message).toMatch(/Either: scalarSlots\.all: expected one number per tensor/);
  });
});
