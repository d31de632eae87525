import { testOptimizer, testRule } from "@mm/optim-conformance";
import { testGolden } from "@mm/optim-recordings";
import { adafactor, ema, laprop, norMuon, prodigy } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { everyFixture } from "../../optim-recordings/test/fixtures.ts";
import { searchDifference } from "../../optim-conformance/test/scenarios.ts";
import { type Home, webgpuFactory } from "./factory.ts";
import { countDevice } from "./support/counted.ts";
import { openDevice } from "./support/node.ts";
import { refusalsOf } from "./support/refusals.ts";

const device = await openDevice();
const counted = countDevice(device);
const refusals = refusalsOf(device);
const factoryOf = (home: Home) => webgpuFactory(device, { name: `webgpu, ${home}`, home }, counted);

for (const home of ["buffers", "everywhere"] as const) testOptimizer({ test, factory: factoryOf(home) });
testRule({
  test,
  rule: ema(laprop({ lr: 0.1, eps: 1e-3 })),
  backends: [factoryOf("everywhere")],
});
for (const rule of [adafactor(), norMuon(), prodigy({ lr: 1, d0: 0.01 })] as const)
  testRule({ test, rule, backends: [factoryOf("everywhere")] });
for (const file of everyFixture) testGolden({ test, factory: factoryOf("buffers"), file });

test("webgpu: training runs of any kind stay beside the reference", { timeout: 300_000 }, async () => {
  // Always the same ones: sums that cancel and loss scales near the end of float32 could exceed a tolerance by chance.
  const search = { withEdges: false, numRuns: 300, seed: 2 };
  expect(await searchDifference(factoryOf("everywhere"), search)).toBeUndefined();
});

test("the device refused nothing of all that", async () => {
  await device.queue.onSubmittedWorkDone();
  expect(refusals).toEqual([]);
});
