import { testOptimizer } from "@mm/optim-conformance";
import { expect, test } from "vitest";
import { refusalsOf } from "../../../optim-webgpu/test/support/refusals.ts";
import { jaxFactory } from "../factory.ts";
import { countOwn } from "../support/own-buffers.ts";
import { useWebgpu } from "../support/jax-on-dawn.ts";

const device = await useWebgpu();
const own = countOwn(device);
const refusals = refusalsOf(device);

testOptimizer({ test, factory: jaxFactory("webgpu", { liveAllocations: () => own.size }) });

test("the device refused nothing of all that", async () => {
  await device.queue.onSubmittedWorkDone();
  expect(refusals).toEqual([]);
});
