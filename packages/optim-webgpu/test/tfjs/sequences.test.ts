import { expect, test } from "vitest";
import { searchSequence } from "../../../optim-conformance/test/model/sequences.ts";
import { tfjsFactory as opsFactory } from "../../../optim-tfjs/test/factory.ts";
import { useTfjs } from "../support/tfjs.ts";
import { tfjsFactory } from "./factory.ts";

test("webgpu/tfjs: any sequence of calls leaves a wrapper as plain arithmetic has it", async () => {
  await useTfjs();
  expect(await searchSequence(tfjsFactory("tfjs on webgpu, in place"), 200)).toBeUndefined();
});

test("tfjs on webgpu, by ops: any sequence of calls leaves a wrapper as plain arithmetic has it", async () => {
  await useTfjs();
  const path = { name: "tfjs on webgpu, by ops", backend: "webgpu", options: {}, inPlace: false };
  expect(await searchSequence(await opsFactory(path), 200)).toBeUndefined();
});
