import "@tensorflow/tfjs-backend-webgl";
import { expect, test } from "vitest";
import { searchSequence } from "../../../optim-conformance/test/model/sequences.ts";
import type { ExecutionPath } from "../backends.ts";
import { tfjsFactory } from "../factory.ts";

test.each<ExecutionPath>([
  { name: "tfjs-webgl, drawn", backend: "webgl", options: {}, inPlace: false },
  { name: "tfjs-webgl, by ops", backend: "webgl", options: { lowering: "ops" }, inPlace: false },
])(
  "$name: any sequence of calls leaves a wrapper as plain arithmetic has it",
  { timeout: 300_000 },
  async (path) => {
    expect(await searchSequence(await tfjsFactory(path), 200)).toBeUndefined();
  },
);
