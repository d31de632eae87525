import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleProgram } from "./program.ts";

const place = mkdtempSync(join(tmpdir(), "optim-checkpoint-memory-"));
const program = join(place, "large.mjs");
const file = join(place, "large.safetensors");
beforeAll(() => bundleProgram("large", program));
afterAll(() => rmSync(place, { recursive: true }));

/** The memory of a process at its peak, in MB, beyond what it had before. */
const peak = (...args: readonly string[]): number =>
  Number(execFileSync(process.execPath, [program, ...args], { encoding: "utf8" }));

test("a checkpoint of 200 MB is written from the tensors' own memory, and read into no more than its own", () => {
  // 4 × 12.5 million elements of 4 bytes. A second copy would be 200 MB more; what is measured has noise of some MB.
  const written = peak(file);
  expect(statSync(file).size).toBeGreaterThan(200_000_000);
  expect(written).toBeLessThan(40);
  const read = peak(file);
  expect(read).toBeGreaterThan(150);
  expect(read).toBeLessThan(240);
  // That the measure would show a copy: all of it in one array.
  expect(peak(join(place, "none"), "copied")).toBeGreaterThan(150);
});
