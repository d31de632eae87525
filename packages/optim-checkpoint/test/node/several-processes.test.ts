import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleProgram } from "./program.ts";

const place = mkdtempSync(join(tmpdir(), "optim-checkpoint-several-"));
const program = join(place, "several.mjs");
beforeAll(() => bundleProgram("several", program));
afterAll(() => rmSync(place, { recursive: true }));

/** Runs processes that save to one folder at once. @returns the names that each was told */
async function save(
  folder: string,
  ids: readonly string[],
  saves: number,
  keep: number,
): Promise<string[][]> {
  const run = promisify(execFile);
  const outputs = await Promise.all(
    ids.map((id) => run(process.execPath, [program, folder, id, String(saves), String(keep)])),
  );
  return outputs.map(({ stdout }) => JSON.parse(stdout) as string[]);
}

test("two processes that save to one folder at once: each file is there, under the name that its process was told", async () => {
  const folder = join(place, "all");
  const names = await save(folder, ["a", "b"], 60, Number.POSITIVE_INFINITY);
  expect(new Set(names.flat()).size).toBe(120);
  expect(readdirSync(folder).sort()).toEqual(names.flat().sort());
  const checkpoints = openCheckpoints(folder);
  for (const [process, id] of ["a", "b"].entries()) {
    for (const [n, name] of (names[process] as string[]).entries())
      expect((await checkpoints.read(name)).extra).toEqual({ id, n });
  }
  // They did run at once: between two of the one there are some of the other.
  const [first = [], second = []] = names.map((own) => [...own].sort());
  expect(first[0]! < second.at(-1)! && second[0]! < first.at(-1)!).toBe(true);
});

test("two processes that keep two: none fails because the other removed what it was about to remove", async () => {
  const folder = join(place, "two");
  await save(folder, ["a", "b"], 60, 2);
  const left = readdirSync(folder);
  expect(left.length).toBeGreaterThanOrEqual(2);
  // The last save of each never removes its own: two of one process, and one of the other.
  expect(left.length).toBeLessThanOrEqual(3);
  expect((await openCheckpoints(folder).latest())?.skipped).toEqual([]);
});
