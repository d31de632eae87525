/// <reference types="vite/types/importMeta.d.ts" />
import "@tensorflow/tfjs-backend-webgl";
import "@tensorflow/tfjs-backend-webgpu";
import { testOptimizer } from "@mm/optim-conformance";
import { parseGoldenFile, testGolden } from "@mm/optim-recordings";
import { describe, test } from "vitest";
import type { ExecutionPath } from "../backends.ts";
import { tfjsFactory } from "../factory.ts";

const fixtures = import.meta.glob("../../../optim-recordings/golden/*.json", {
  eager: true,
  import: "default",
});

// The backends that decide on a device: nothing may be read in a step.
const paths: readonly ExecutionPath[] = [
  { name: "tfjs-webgl, drawn", backend: "webgl", options: {}, inPlace: false },
  { name: "tfjs-webgl, by ops", backend: "webgl", options: { lowering: "ops" }, inPlace: false },
  { name: "tfjs-webgpu, by ops", backend: "webgpu", options: {}, inPlace: false },
];

/** Its loss scale is a denormal number, which GPUs take for 0. The scale stops at the smallest that is none: see webgl-steps.test.ts. */
const denormal = "scaler/underflow";

describe.each(paths)("$name", async (path) => {
  const factory = await tfjsFactory(path);
  testOptimizer({ test, factory });
  if (path.name !== "tfjs-webgl, drawn") return;
  for (const file of Object.values(fixtures)) {
    const { meta, cases } = parseGoldenFile(file);
    testGolden({ test, factory, file: { meta, cases: cases.filter(({ name }) => name !== denormal) } });
  }
});
