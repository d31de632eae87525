// `distributed` without MPI: ranks are threads that share memory and wait for each other.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { caseNames, type Results } from "./cases/index.ts";
import { expectEquality, expectExchanges, expectTogether } from "./expectations.ts";
import { bundleProgram } from "./program.ts";
import { inThreads } from "./threads.ts";

const folder = mkdtempSync(join(tmpdir(), "optim-distributed-threads-"));
let program = "";
beforeAll(async () => {
  program = await bundleProgram("worker");
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.each([1, 2, 3])("%d threads", (size) => {
  let results: readonly Results[] = [];
  beforeAll(async () => {
    results = await inThreads(program, size, caseNames, folder);
  }, 300_000);
  expectExchanges(() => results, size);
  expectEquality(() => results, "arrays");
  expectEquality(() => results, "arena");
  expectTogether(() => results, size);
});

test("a memory of a few bytes is enough", async () => {
  const results = await inThreads(program, 2, ["overflow"], folder, { bytes: 128 });
  expect(results).toMatchObject([
    { overflow: { metrics: { steps: 5 } } },
    { overflow: { metrics: { steps: 5 } } },
  ]);
});
