/// <reference types="vite/types/importMeta.d.ts" />
import "@tensorflow/tfjs-backend-webgpu";
import "@tensorflow/tfjs-layers";
import { testOptimizer } from "@mm/optim-conformance";
import { parseGoldenFile, testGolden } from "@mm/optim-recordings";
import { sgd } from "@mm/optim-rules";
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import { tfjsFactory } from "../tfjs/factory.ts";

const fixtures = import.meta.glob("../../../optim-recordings/golden/*.json", {
  eager: true,
  import: "default",
});

await tf.setBackend("webgpu");
const factory = tfjsFactory("tfjs on webgpu in Chromium, in place");

test("it runs in place", () => {
  const w = factory.createParameter(Float32Array.of(1), [1]);
  const optimizer = factory.createOptimizer(sgd(), { w });
  expect(optimizer.capabilities).toMatchObject({ inPlace: true, decides: "device" });
  optimizer.dispose();
});

testOptimizer({ test, factory });
for (const file of Object.values(fixtures)) testGolden({ test, factory, file: parseGoldenFile(file) });
