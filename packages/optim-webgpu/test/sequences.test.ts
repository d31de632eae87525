import { expect, test } from "vitest";
import { searchSequence } from "../../optim-conformance/test/model/sequences.ts";
import { webgpuFactory } from "./factory.ts";
import { openDevice } from "./support/node.ts";

test("webgpu: any sequence of calls leaves a wrapper as plain arithmetic has it", async () => {
  const device = await openDevice();
  expect(
    await searchSequence(webgpuFactory(device, { name: "webgpu", home: "everywhere" }), 200),
  ).toBeUndefined();
});
