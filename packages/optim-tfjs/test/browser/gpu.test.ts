import "@tensorflow/tfjs-backend-webgl";
import "@tensorflow/tfjs-backend-webgpu";
import { testOptimizer } from "@mm/optim-conformance";
import { describe, test } from "vitest";
import { tfjsFactory } from "../factory.ts";

// The backends that decide on a device: by ops, and nothing may be read in a step.
describe.each(["webgl", "webgpu"])("tfjs-%s", async (backend) => {
  testOptimizer({
    test,
    factory: await tfjsFactory({ name: `tfjs-${backend}`, backend, options: {}, inPlace: false }),
  });
});
