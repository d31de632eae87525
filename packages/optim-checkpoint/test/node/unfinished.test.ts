import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { afterAll, beforeEach, expect, test } from "vitest";

const place = mkdtempSync(join(tmpdir(), "optim-checkpoint-unfinished-"));
afterAll(() => rmSync(place, { recursive: true }));

let folder = "";
let count = 0;
beforeEach(() => {
  folder = join(place, `run-${(count += 1)}`);
  mkdirSync(folder);
});

/** The temporary name that a save has while it writes. */
async function nameWhileSaving(): Promise<string> {
  let seen = "";
  const other = join(place, "other");
  await openCheckpoints(other).save(
    { extra: 1 },
    { onProgress: () => (seen = readdirSync(other).find((name) => name.endsWith(".unfinished")) ?? "") },
  );
  expect(seen).toMatch(new RegExp(`^\\.optim-[0-9a-f]{8}-${process.pid}-[0-9a-f]{12}\\.unfinished$`));
  return seen;
}

/** The number of a process that has ended. */
const ended = (): string => String(spawnSync(process.execPath, ["-e", ""]).pid);
const minutesAgo = (minutes: number): number => Date.now() / 1000 - minutes * 60;

test.each<[string, (name: string) => string, number, boolean]>([
  ["of a process that has ended", (name) => name.replace(`-${process.pid}-`, `-${ended()}-`), 0, true],
  ["of this process, which writes it now", (name) => name, 0, false],
  [
    "of a process that runs, of somebody else's perhaps",
    (name) => name.replace(`-${process.pid}-`, "-1-"),
    5,
    false,
  ],
  // It would have written something meanwhile.
  ["of a process that runs, and an hour old", (name) => name.replace(`-${process.pid}-`, "-1-"), 60, true],
  // In a container that was started again, processes get the same numbers.
  ["of this process's number, and older than it", (name) => name, 14, true],
  [
    "of another machine",
    (name) => name.replace(/optim-[0-9a-f]{8}-\d+/, "optim-00000000-999999999"),
    5,
    false,
  ],
  [
    "of another machine, and an hour old",
    (name) => name.replace(/optim-[0-9a-f]{8}/, "optim-00000000"),
    60,
    true,
  ],
  ["of another program", () => ".somebody-else.unfinished", 60, false],
])("an unfinished file %s", async (_, rename, age, removed) => {
  // This process is younger than fourteen minutes.
  expect(process.uptime()).toBeLessThan(14 * 60);
  const path = join(folder, rename(await nameWhileSaving()));
  writeFileSync(path, "half a file");
  utimesSync(path, minutesAgo(age), minutesAgo(age));
  const checkpoints = openCheckpoints(folder);
  expect(await checkpoints.latest()).toBeUndefined();
  await checkpoints.save({ extra: 1 });
  expect(readdirSync(folder).length).toBe(removed ? 1 : 2);
});

test("one that cannot be removed (a folder, here) does not keep a save from being made", async () => {
  const name = (await nameWhileSaving()).replace(`-${process.pid}-`, `-${ended()}-`);
  mkdirSync(join(folder, name));
  expect(await openCheckpoints(folder).save({ extra: 1 })).toBe("checkpoint-000001.safetensors");
});
