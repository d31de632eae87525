/// <reference types="vite/types/importMeta.d.ts" />
import { testOptimizer } from "@mm/optim-conformance";
import { parseGoldenFile, testGolden } from "@mm/optim-recordings";
import { test } from "vitest";
import { webgpuFactory } from "../factory.ts";
import { openDevice } from "../support/browser.ts";

const fixtures = import.meta.glob("../../../optim-recordings/golden/*.json", {
  eager: true,
  import: "default",
});

const factory = webgpuFactory(await openDevice(), { name: "webgpu in Chromium", home: "everywhere" });
testOptimizer({ test, factory });
for (const file of Object.values(fixtures)) testGolden({ test, factory, file: parseGoldenFile(file) });
