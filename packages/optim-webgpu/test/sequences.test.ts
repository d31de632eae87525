import { expect, test } from "vitest";
import { searchSequence } from "../../optim-conformance/test/model/sequences.ts";
import { searchTogether } from "../../optim-conformance/test/model/together.ts";
import { webgpuFactory } from "./factory.ts";
import { openDevice } from "./support/node.ts";

test("webgpu: any sequence of calls leaves a wrapper as plain arithmetic has it", async () => {
  const device = await openDevice();
  expect(
    await searchSequence(webgpuFactory(device, { name: "webgpu", home: "everywhere" }), 200),
  ).toBeUndefined();
});

test("webgpu: slots per row and a number of all tensors, too", async () => {
  const device = await openDevice();
  expect(
    await searchTogether(webgpuFactory(device, { name: "webgpu", home: "everywhere" }), 40),
  ).toBeUndefined();
});
