import { testOptimizer } from "@mm/optim-conformance";
import { testGolden } from "@mm/optim-conformance/golden";
import { test } from "vitest";
import { fixtures } from "../../optim-conformance/test/fixtures.ts";
import { webgpuFactory } from "./factory.ts";
import { openDevice } from "./support/node.ts";

const factory = webgpuFactory(await openDevice(), { name: "webgpu", home: "buffers" });
testOptimizer({ test, factory });
for (const file of fixtures.values()) testGolden({ test, factory, file });
