import { testOptimizer } from "@mm/optim-conformance";
import { testGolden } from "@mm/optim-recordings";
import { expect, test } from "vitest";
import { everyFixture } from "../../../optim-recordings/test/fixtures.ts";
import { refusalsOf } from "../support/refusals.ts";
import { useTfjs } from "../support/tfjs.ts";
import { tfjsFactory } from "./factory.ts";

const device = await useTfjs();
const refusals = refusalsOf(device);
const factory = tfjsFactory("tfjs on webgpu, in place");

testOptimizer({ test, factory });
for (const file of everyFixture) testGolden({ test, factory, file });

test("the device refused nothing of all that", async () => {
  await device.queue.onSubmittedWorkDone();
  expect(refusals).toEqual([]);
});
