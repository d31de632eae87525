import { expect, test } from "vitest";
import { searchSequence } from "../../optim-conformance/test/model/sequences.ts";
import { searchTogether } from "../../optim-conformance/test/model/together.ts";
import { wasmFactory } from "./factory.ts";

test("wasm: any sequence of calls leaves a wrapper as plain arithmetic has it", async () => {
  expect(await searchSequence(wasmFactory, 500)).toBeUndefined();
});

test("wasm: slots per row and a number of all tensors, too", async () => {
  expect(await searchTogether(wasmFactory, 200)).toBeUndefined();
});
