import { expect, test } from "vitest";
import { searchSequence } from "../../optim-conformance/test/model/sequences.ts";
import { wasmFactory } from "./factory.ts";

test("wasm: any sequence of calls leaves a wrapper as plain arithmetic has it", async () => {
  expect(await searchSequence(wasmFactory, 500)).toBeUndefined();
});
