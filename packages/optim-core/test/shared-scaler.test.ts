import { createOptimWrapper } from "@mm/optim-core";
import { expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, observed } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

const overflow = gradients({ w: [Number.POSITIVE_INFINITY] });

function pair() {
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) });
  const lossScaler = optimizer.createLossScaler("dynamic");
  return { lossScaler, wrapper: createOptimWrapper(optimizer, { lossScale: lossScaler }) };
}

test("a shared loss scaler that nobody updates is an error after 20 skipped steps", async () => {
  const { wrapper } = pair();
  for (let step = 0; step < 20; step += 1) wrapper.updateParams(overflow);
  const error = await refusal(() => wrapper.updateParams(overflow));
  expect(error.code).toBe("scaler-not-updated");
  expect(error.message).toContain("lossScaler.update()");
});

test("steps of a critic before one update are none", async () => {
  const { wrapper, lossScaler } = pair();
  for (let iteration = 0; iteration < 10; iteration += 1) {
    for (let step = 0; step < 15; step += 1) wrapper.updateParams(overflow);
    lossScaler.update();
  }
  expect(await wrapper.readMetrics()).toMatchObject({ skipped: 150 });
});

test("a static scale has no use for updates", async () => {
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) });
  const wrapper = createOptimWrapper(optimizer, { lossScale: optimizer.createLossScaler(8) });
  for (let step = 0; step < 100; step += 1) wrapper.updateParams(overflow);
  expect(await wrapper.readMetrics()).toMatchObject({ skipped: 100 });
});

/** A backend whose device decides: that a step was skipped, only a read tells. */
function device() {
  const counters = { steps: 0, skipped: 0 };
  const seen = observed();
  seen.engine = {
    stages: {
      check: () => ({ norm: undefined, finite: {} as number }),
      unscale: (rescale) => rescale,
      clip: (factor) => factor,
      update: () => void (counters.skipped += 1),
      run() {},
      readMetrics: () => Promise.resolve({ ...counters }),
      writeCounts: (counts) => void Object.assign(counters, counts),
    },
  };
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) }, seen);
  const lossScaler = optimizer.createLossScaler("dynamic");
  const wrapper = createOptimWrapper(optimizer, { lossScale: lossScaler });
  return {
    wrapper,
    lossScaler,
    step: (times: number) => {
      for (let step = 0; step < times; step += 1) wrapper.updateParams(gradients({ w: [1] }));
    },
  };
}

test("on a device the next read tells, once", async () => {
  const { wrapper, step } = device();
  step(25);
  expect((await refusal(() => wrapper.readMetrics())).code).toBe("scaler-not-updated");
  expect(await wrapper.readMetrics()).toMatchObject({ skipped: 25 });
  step(30);
  expect((await refusal(() => wrapper.stateDict())).code).toBe("scaler-not-updated");
});

test("on a device, skips before an update are not held against the time after it", async () => {
  const { wrapper, lossScaler, step } = device();
  step(30);
  lossScaler.update();
  step(5);
  expect(await wrapper.readMetrics()).toMatchObject({ skipped: 35 });
  // Five are known to have come after the update; fifteen more make twenty.
  step(14);
  expect(await wrapper.readMetrics()).toMatchObject({ skipped: 49 });
  step(1);
  expect((await refusal(() => wrapper.readMetrics())).code).toBe("scaler-not-updated");
});
