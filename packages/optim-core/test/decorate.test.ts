import { createOptimWrapper, type StepOptions } from "@mm/optim-core";
import { decorateOptimizer } from "@mm/optim-core/backend";
import { expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, heavyBall } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

const optimizer = () => arrayOptimizer(descent(), { w: new Float32Array(1) });

test("an optimizer belongs to one wrapper, through delegates too", async () => {
  const inner = optimizer();
  const first = createOptimWrapper(Object.create(inner) as typeof inner);
  for (const again of [inner, Object.create(inner) as typeof inner, decorateOptimizer(inner, {}, () => {})]) {
    expect((await refusal(() => createOptimWrapper(again))).code).toBe("duplicate-wrapper");
  }
  first.updateParams(gradients({ w: [1] }));
});

test("options that are refused leave it free", async () => {
  const inner = optimizer();
  expect((await refusal(() => createOptimWrapper(inner, { accumulativeCounts: 0 }))).code).toBe(
    "invalid-option",
  );
  createOptimWrapper(inner).updateParams(gradients({ w: [1] }));
});

test("a delegate is the optimizer, but for what it does itself", async () => {
  const inner = arrayOptimizer(heavyBall({ momentum: 0.5 }), { w: new Float32Array(1) });
  let steps = 0;
  const counting = decorateOptimizer(inner, {
    step(options?: StepOptions) {
      const stepped = inner.step(options);
      if (stepped) steps += 1;
      return stepped;
    },
  });
  const wrapper = createOptimWrapper(counting, { accumulativeCounts: 2 });
  for (let count = 0; count < 5; count += 1) wrapper.updateParams(gradients({ w: [1] }));
  expect(steps).toBe(2);
  // b = 1, then 0.5 · 1 + 1
  expect(await counting.readParameters()).toEqual({ w: Float32Array.of(-2.5) });
  counting.addParamGroup({ params: { v: new Float32Array(1) } });
  expect(counting.paramGroups).toHaveLength(2);
  expect(counting.baseParamSettings?.momentum).toBe(0.5);
  counting.freeze(["v"]);
  expect(counting.frozen).toEqual(["v"]);
  expect((await wrapper.stateDict()).optimizer.frozen).toEqual(["v"]);
  wrapper.dispose();
  expect((await refusal(() => inner.step())).code).toBe("disposed");
});

test("delegates of delegates", () => {
  const log: string[] = [];
  const inner = optimizer();
  const one = decorateOptimizer(inner, {}, (call) => void log.push(`one ${call}`));
  const two = decorateOptimizer(one, {}, (call) => void log.push(`two ${call}`));
  two.zeroGrad();
  expect(log).toEqual(["two zeroGrad", "one zeroGrad"]);
});

test("what runs before every call may refuse it: thrown, or rejected where the call waits", async () => {
  const inner = optimizer();
  const refused = new Error("not now");
  const decorated = decorateOptimizer(inner, { zeroGrad: () => expect.unreachable() }, () => {
    throw refused;
  });
  const throws: readonly (() => unknown)[] = [
    () => decorated.backward(gradients({})),
    () => decorated.step(),
    () => decorated.zeroGrad(),
    () => decorated.context({ sync: true }, () => 1),
    () => decorated.guard("flush"),
    () => decorated.freeze([]),
    () => decorated.unfreeze([]),
    () => decorated.addParamGroup({ params: {} }),
    () => decorated.prepareLoad({} as never),
    () => decorated.createLossScaler(8),
    () => decorated.writeGradients({}),
    () => decorated.writeParameters({}),
    () => decorated.dispose(),
  ];
  for (const call of throws) expect(call).toThrow(refused);
  for (const call of [
    () => decorated.readMetrics(),
    () => decorated.stateDict(),
    () => decorated.readGradients(),
    () => decorated.readParameters(),
  ]) {
    await expect(call()).rejects.toBe(refused);
  }
  expect(decorated.frozen).toEqual([]);
});
