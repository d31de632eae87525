import { execFileSync, spawnSync } from "node:child_process";
import type * as fs from "node:fs/promises";
import { mkdtempSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { restoreCheckpoint, type SkippedCheckpoint, takeCheckpoint } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { gan, trained } from "../model.ts";
import { refusal } from "../../../../test-support/refusal.ts";
import { bundleProgram } from "./program.ts";

const place = mkdtempSync(join(tmpdir(), "optim-checkpoint-disk-"));
const program = join(place, "fill.mjs");
beforeAll(() => bundleProgram("fill", program));
afterAll(() => rmSync(place, { recursive: true, force: true }));

// Calls of the file system are told to `calls`, and one of them fails as the system would.
const disk = vi.hoisted(() => ({
  calls: [] as string[],
  failing: [] as readonly {
    readonly call: string;
    readonly code: string;
    /** A call that comes before. */
    readonly after?: string;
  }[],
}));

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof fs>();
  const told =
    <A extends readonly unknown[], R>(call: string, run: (...given: A) => Promise<R>) =>
    async (...given: A): Promise<R> => {
      disk.calls.push(call);
      const failure = disk.failing.find(
        (failing) =>
          failing.call === call && (failing.after === undefined || disk.calls.includes(failing.after)),
      );
      if (failure === undefined) return run(...given);
      // A closed file is closed, also where the last bytes could not be written.
      if (call.startsWith("close")) await run(...given);
      throw Object.assign(new Error(`${failure.code}: as if`), {
        code: failure.code,
        syscall: call,
      });
    };
  return {
    ...real,
    open: async (path: string, flags: string | number) => {
      const what = typeof flags === "number" ? "reading" : flags === "wx" ? "file" : "folder";
      const handle = await told(`open ${what}`, real.open)(path, flags);
      for (const call of ["write", "sync", "close"] as const) {
        const run = handle[call].bind(handle) as (...given: unknown[]) => Promise<unknown>;
        handle[call] = told(`${call} ${what}`, run) as never;
      }
      return handle;
    },
    link: told("link", real.link),
    rename: told("rename", real.rename),
    stat: told("stat", real.stat),
    readdir: told("readdir", real.readdir as never),
    unlink: told("unlink", real.unlink),
    mkdir: told("mkdir", real.mkdir),
  };
});

let folder = "";
let count = 0;
beforeEach(() => {
  folder = join(place, `run-${(count += 1)}`);
  disk.calls.length = 0;
  disk.failing = [];
});

/** Calls that change something, or wait for the disk. */
const changes = (): readonly string[] =>
  disk.calls.filter((call) => !["readdir", "stat"].includes(call) && !call.endsWith("reading"));

test("a file is flushed before it gets its name, and its folder after", async () => {
  await openCheckpoints(folder, { keep: 1 }).save({ tensors: { w: new Float32Array(1) } });
  expect(changes()).toEqual([
    "mkdir",
    "open file",
    // The header, and one tensor.
    "write file",
    "write file",
    "sync file",
    "close file",
    // A name that nothing had, and then the temporary one goes.
    "link",
    "unlink",
    "open folder",
    "sync folder",
    "close folder",
  ]);
  disk.calls.length = 0;
  await openCheckpoints(folder, { keep: 1 }).save({});
  // The one before is removed last.
  expect(changes().at(-1)).toBe("unlink");
});

test("without links (FAT, some network disks) a name is taken by an empty file, and nothing is overwritten either", async () => {
  disk.failing = [{ call: "link", code: "EPERM" }];
  const checkpoints = openCheckpoints(folder);
  for (const n of [1, 2]) await checkpoints.save({ extra: n });
  expect(changes().slice(-8)).toEqual([
    "close file",
    "link",
    "open file",
    "close file",
    "rename",
    "open folder",
    "sync folder",
    "close folder",
  ]);
  expect(readdirSync(folder)).toEqual([1, 2].map((n) => `checkpoint-00000${n}.safetensors`));
  expect((await checkpoints.latest())?.checkpoint.extra).toBe(2);
  disk.failing = [
    { call: "link", code: "EPERM" },
    { call: "rename", code: "EIO" },
  ];
  expect((await refusal(() => checkpoints.save({ extra: 3 }))).message).toContain("a disk that works");
  expect(readdirSync(folder)).toEqual([1, 2].map((n) => `checkpoint-00000${n}.safetensors`));
});

test.each([
  ["mkdir", "EACCES", "the right to do so"],
  ["open file", "EROFS", "a disk that is not read-only"],
  ["open file", "EMFILE", "no error of the system"],
  ["write file", "ENOSPC", "room on the disk"],
  ["write file", "EDQUOT", "room within the quota"],
  ["sync file", "EIO", "a disk that works"],
  ["close file", "ENOSPC", "room on the disk"],
  ["link", "ENOSPC", "room on the disk"],
])(
  "%s fails with %s: refused in words, nothing is left or lost, and training goes on",
  async (call, code, words) => {
    const run = trained(2);
    const before = openCheckpoints(folder);
    await before.save(await takeCheckpoint(run.optim, { extra: 2 }));
    const names = readdirSync(folder);
    const state = await run.all();

    const checkpoints = openCheckpoints(folder);
    disk.failing = [
      { call, code },
      // Where no link can be made, the file is renamed.
      ...(call === "link" ? [{ call: "rename", code }] : []),
    ];
    const error = await refusal(async () => checkpoints.save(await takeCheckpoint(run.optim)));
    expect(error.code).toBe("storage-error");
    expect(error.message).toContain(
      `expected ${words}, got "${code}". Earlier files are as they were, and training can go on`,
    );
    expect(error.cause).toMatchObject({ code });
    expect(readdirSync(folder)).toEqual(names);
    expect((await before.latest())?.checkpoint.extra).toBe(2);
    expect(await run.all()).toEqual(state);

    disk.failing = [];
    run.train(2);
    await checkpoints.save(await takeCheckpoint(run.optim, { extra: 3 }));
    const resumed = gan();
    await restoreCheckpoint(resumed.optim, (await checkpoints.latest())!.checkpoint);
    expect(await resumed.all()).toEqual(await trained(3).all());
  },
);

test("a folder that cannot be flushed is told: the file is there, and may not outlive a loss of power", async () => {
  const checkpoints = openCheckpoints(folder);
  disk.failing = [{ call: "sync folder", code: "EIO" }];
  expect((await refusal(() => checkpoints.save({ extra: 1 }))).code).toBe("storage-error");
  expect((await checkpoints.latest())?.checkpoint.extra).toBe(1);
});

test("an old one that cannot be removed is told, does not fail the save, and is removed by a later one", async () => {
  const left: SkippedCheckpoint[] = [];
  const checkpoints = openCheckpoints(folder, { keep: 1, onNotRemoved: (one) => left.push(one) });
  await checkpoints.save({ extra: 1 });
  disk.failing = [{ call: "unlink", code: "EPERM" }];
  expect(await checkpoints.save({ extra: 2 })).toBe("checkpoint-000002.safetensors");
  expect(left.map(({ name, error }) => [name, error.code])).toEqual([
    ["checkpoint-000001.safetensors", "storage-error"],
  ]);
  expect(left[0]?.error.message).toContain("removing");
  expect((await checkpoints.latest())?.checkpoint.extra).toBe(2);
  // Without anybody to tell, too.
  expect(await openCheckpoints(folder, { keep: 1 }).save({ extra: 3 })).toBe("checkpoint-000003.safetensors");
  disk.failing = [];
  await checkpoints.save({ extra: 4 });
  expect((await checkpoints.list()).length).toBe(1);
});

test.each(["readdir", "stat", "open reading"])(
  "a %s that fails after a save does not fail it",
  async (call) => {
    const checkpoints = openCheckpoints(folder, { keep: 2 });
    await checkpoints.save({ extra: 1 });
    disk.calls.length = 0;
    disk.failing = [{ call, code: "EIO", after: "sync folder" }];
    // It has to look at the one before, which it does not know.
    expect(await openCheckpoints(folder, { keep: 2 }).save({ extra: 2 })).toBe(
      "checkpoint-000002.safetensors",
    );
    expect(disk.calls.slice(disk.calls.indexOf("sync folder"))).toContain(call);
    disk.failing = [];
    expect((await checkpoints.latest())?.checkpoint.extra).toBe(2);
    expect((await checkpoints.list()).length).toBe(2);
  },
);

interface Report {
  readonly last: string;
  readonly refusedAt: number;
  readonly newest?: { readonly n: number };
  readonly skipped?: number;
  readonly again: string;
}

/** The output of `fill.mjs`, run by a shell. */
function report(command: string, wrap: readonly string[] = []): Report {
  const [run, ...args] = [...wrap, "sh", "-c", command];
  return JSON.parse(execFileSync(run, args, { encoding: "utf8" })) as Report;
}

const fill = (most = ""): string => `"${process.execPath}" "${program}" "${folder}" ${most}`;

test("really: files that may not grow (ulimit -f)", () => {
  // 100 blocks are at most 100 KiB, and a checkpoint has 0.4 MB.
  const { last, refusedAt, again } = report(`ulimit -f 100; exec ${fill()}`);
  expect(last).toContain("storage-error");
  expect(last).toContain("EFBIG");
  expect([refusedAt, again]).toEqual([1, last]);
  expect(readdirSync(folder)).toEqual([]);
});

// A namespace of its own, in which anybody may mount. Where the system allows none, the failures above stand for these two.
const unshare = ["unshare", "--map-root-user", "--mount"] as const;
const [command, ...flags] = unshare;
const mayMount = spawnSync(command, [...flags, "mount", "-t", "tmpfs", "none", tmpdir()]).status === 0;

test.each(mayMount ? ["tmpfs of 2 MB"] : [])("really: a full disk (%s)", () => {
  mkdirSync(folder);
  const full = report(`mount -t tmpfs -o size=2m none "${folder}" && ${fill()}`, unshare);
  expect(full.last).toContain("storage-error");
  expect(full.last).toContain("ENOSPC");
  // Earlier checkpoints are whole, and with the oldest removed there is room again.
  expect(full.refusedAt).toBeGreaterThan(1);
  expect(full).toMatchObject({ newest: { n: full.refusedAt - 1 }, skipped: 0 });
  expect(full.again).toMatch(/^checkpoint-/);
});

test.each(mayMount ? ["tmpfs"] : [])("really: a disk that becomes read-only (%s)", () => {
  mkdirSync(folder);
  const save = `mount -t tmpfs none "${folder}" && ${fill("1")} >/dev/null`;
  const readOnly = report(`${save} && mount -o remount,ro "${folder}" && ${fill()}`, unshare);
  expect(readOnly.last).toContain("storage-error");
  expect(readOnly.last).toContain("EROFS");
  // The program saved once more when it had made room, after its third iteration.
  expect(readOnly).toMatchObject({ refusedAt: 1, newest: { n: 3 }, skipped: 0, again: readOnly.last });
});
