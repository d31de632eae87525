import { testOptimizer, testRule } from "@mm/optim-conformance";
import { testGolden } from "@mm/optim-recordings";
import { adafactor, ema, laprop, muon, norMuon, prodigy } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { everyFixture } from "../../optim-recordings/test/fixtures.ts";
import { searchDifference } from "../../optim-conformance/test/scenarios.ts";
import { wasmFactory } from "./factory.ts";

testOptimizer({ test, factory: wasmFactory });
testRule({ test, rule: ema(laprop({ lr: 0.1, eps: 1e-3 })), backends: [wasmFactory] });
for (const rule of [adafactor(), muon(), norMuon(), prodigy({ lr: 1, d0: 0.01 })] as const)
  testRule({ test, rule, backends: [wasmFactory] });

for (const file of everyFixture) testGolden({ test, factory: wasmFactory, file });

test("wasm: any training run equals the reference to the bit", async () => {
  expect(await searchDifference(wasmFactory, { withEdges: true, numRuns: 200 })).toBeUndefined();
});
