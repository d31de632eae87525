import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { referenceFactory, testOptimizer } from "../src/index.ts";
import { kitTests } from "../src/kit/test-optimizer.ts";

// With vitest's `test`.
testOptimizer({ test, factory: referenceFactory() });

test("runs with node:test as well", () => {
  const file = fileURLToPath(new URL("./node-test.mjs", import.meta.url));
  const { stdout, status } = spawnSync("node", ["--test", "--test-reporter=tap", file], { encoding: "utf8" });
  const count = (what: string): number => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(stdout)?.[1]);
  // The closing line is a test of its own.
  expect([count("pass"), count("fail"), status]).toEqual([kitTests.length + 1, 0, 0]);
  expect(stdout).toContain(`reference: ${kitTests.length} passed, 0 failed, 0 skipped of ${kitTests.length}`);
});
