import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeCheckpoint, encodeSafetensors } from "@mm/optim-checkpoint";
import {
  openCheckpoints,
  readCheckpoint,
  withFile,
  writeCheckpoint,
  writeFile,
} from "@mm/optim-checkpoint/node";
import { afterAll, beforeEach, expect, test } from "vitest";
import { refusal } from "../../../../test-support/refusal.ts";

const place = mkdtempSync(join(tmpdir(), "optim-checkpoint-strange-"));
afterAll(() => rmSync(place, { recursive: true }));

let folder = "";
let count = 0;
beforeEach(() => {
  folder = join(place, `run-${(count += 1)}`);
  mkdirSync(folder);
});

const named = (number: number): string => `checkpoint-00000${number}.safetensors`;
const path = (number: number): string => join(folder, named(number));
const names = (...numbers: readonly number[]): string[] => numbers.map(named);

const strange: Record<string, (at: string) => void> = {
  "a FIFO": (at) => execFileSync("mkfifo", [at]),
  "a folder": (at) => mkdirSync(at),
  "a link to a folder": (at) => symlinkSync(place, at),
  "a link to nothing": (at) => symlinkSync(join(place, "nothing"), at),
  "a link to a device": (at) => symlinkSync("/dev/zero", at),
};

test.each(Object.keys(strange))(
  "%s of a checkpoint's name is passed over, and neither waited for nor replaced",
  async (kind) => {
    const checkpoints = openCheckpoints(folder, { keep: 2 });
    await checkpoints.save({ extra: 1 });
    strange[kind]!(path(2));
    expect(await checkpoints.list()).toEqual(names(1));
    expect(await checkpoints.latest()).toMatchObject({ name: named(1), skipped: [] });
    // Its name is taken all the same.
    for (const n of [3, 4, 5]) expect(await checkpoints.save({ extra: n })).toBe(named(n));
    expect(readdirSync(folder).sort()).toEqual(names(2, 4, 5));
    // Asked for by its name, it is refused at once.
    const error = await refusal(() => checkpoints.read(named(2)));
    expect(error.code).toBe("storage-error");
    expect((await refusal(() => readCheckpoint(path(2)))).code).toBe("storage-error");
    expect((await refusal(() => withFile(path(2), async () => 1))).code).toBe("storage-error");
  },
);

test("a link to a checkpoint is one", async () => {
  const elsewhere = join(place, "elsewhere.safetensors");
  await writeCheckpoint(elsewhere, { extra: "linked" });
  symlinkSync(elsewhere, path(7));
  expect((await openCheckpoints(folder).latest())?.checkpoint.extra).toBe("linked");
});

const damage: Record<string, (at: string) => void> = {
  "cut short": (at) => truncateSync(at, 100),
  empty: (at) => truncateSync(at, 0),
  "changed in one bit": (at) => {
    const bytes = readFileSync(at);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(at, bytes);
  },
  "replaced by a later release's": (at) =>
    writeFileSync(at, encodeSafetensors([], { "optim-checkpoint": "999" }).bytes()),
  "replaced by something else": (at) => writeFileSync(at, "a note"),
};

const saved = (n: number) => ({ extra: n, tensors: { w: Float32Array.of(n) } });

test.each(Object.keys(damage))("files that are %s do not count towards keep", async (kind) => {
  const checkpoints = openCheckpoints(folder, { keep: 2 });
  for (const n of [1, 2]) await checkpoints.save(saved(n));
  await openCheckpoints(folder, { keep: 4 }).save(saved(3));
  await openCheckpoints(folder, { keep: 4 }).save(saved(4));
  for (const n of [3, 4]) damage[kind]!(path(n));
  // Its own object, which has seen 1 and 2; one that has seen none; and one that has seen them all whole.
  await checkpoints.save(saved(5));
  expect(await checkpoints.list()).toEqual(names(5, 4, 3, 2));
  await openCheckpoints(folder, { keep: 3 }).save(saved(6));
  expect(await checkpoints.list()).toEqual(names(6, 5, 4, 3, 2));
  damage[kind]!(path(6));
  await checkpoints.save(saved(7));
  expect(await checkpoints.list()).toEqual(names(7, 6, 5));
  expect((await checkpoints.latest())?.checkpoint.extra).toBe(7);
});

test("an object that wrote a file notices that it was damaged since", async () => {
  const checkpoints = openCheckpoints(folder, { keep: 2 });
  for (const n of [1, 2, 3]) await checkpoints.save(saved(n));
  damage["changed in one bit"]!(path(3));
  await checkpoints.save(saved(4));
  expect(await checkpoints.list()).toEqual(names(4, 3, 2));
});

test("no number is so large that later files are hidden", async () => {
  const checkpoints = openCheckpoints(folder, { keep: 2 });
  // As many digits as were read once, as are exact in a number, and as a name has room for.
  for (const digits of [15, 16, 40, 231]) {
    writeFileSync(
      join(folder, `checkpoint-${"9".repeat(digits)}.safetensors`),
      encodeCheckpoint(saved(0)).bytes(),
    );
    const name = await checkpoints.save(saved(digits));
    expect(name).toBe(`checkpoint-1${"0".repeat(digits)}.safetensors`);
    expect((await checkpoints.latest())?.checkpoint.extra).toBe(digits);
    expect((await checkpoints.list())[0]).toBe(name);
  }
  // There the disk itself ends.
  writeFileSync(join(folder, `checkpoint-${"9".repeat(232)}.safetensors`), "");
  const error = await refusal(() => checkpoints.save(saved(1)));
  expect([error.code, error.message.includes("a shorter name")]).toEqual(["storage-error", true]);
});

test("a number with zeros before it, other than up to six digits, is no checkpoint: there would be two of it", async () => {
  writeFileSync(join(folder, "checkpoint-0000009.safetensors"), encodeCheckpoint(saved(9)).bytes());
  const checkpoints = openCheckpoints(folder);
  expect(await checkpoints.list()).toEqual([]);
  expect(await checkpoints.save(saved(1))).toBe(named(1));
});

test.each(["../secret.safetensors", "a/b", "a\\b", "C:b", "..", ".", "", "a\0b", "/etc/passwd", undefined])(
  "the name %j leaves the folder, and is refused",
  async (name) => {
    await writeCheckpoint(join(place, "secret.safetensors"), saved(1));
    const error = await refusal(() => openCheckpoints(folder).read(name as string));
    expect([error.code, error.received]).toEqual(["invalid-name", name]);
  },
);

test("any file of the folder can be read by its name", async () => {
  await writeCheckpoint(join(folder, "my best…, of 12.safetensors"), saved(12));
  expect((await openCheckpoints(folder).read("my best…, of 12.safetensors")).extra).toBe(12);
});

test("names as long as the disk allows: 255 bytes", async () => {
  const long = join(folder, `${"x".repeat(243)}.safetensors`);
  for (const n of [1, 2]) await writeCheckpoint(long, saved(n));
  expect((await readCheckpoint(long)).extra).toBe(2);
  const deep = join(folder, "y".repeat(255), "z".repeat(255));
  const checkpoints = openCheckpoints(deep);
  await checkpoints.save(saved(3));
  expect((await checkpoints.latest())?.checkpoint.extra).toBe(3);
  await writeFile(join(folder, "ü".repeat(127)), encodeCheckpoint(saved(4)));
  expect(readdirSync(folder).some((name) => name.endsWith(".unfinished"))).toBe(false);
  // One byte more, and it is told.
  const error = await refusal(() => writeCheckpoint(join(folder, "x".repeat(256)), saved(1)));
  expect([error.code, error.message.includes("a shorter name")]).toEqual(["storage-error", true]);
});

test("latest, while another process saves and removes: never an error for what is gone", async () => {
  const [reader, writer] = [openCheckpoints(folder), openCheckpoints(folder, { keep: 1 })];
  await writer.save(saved(0));
  const progress = { saved: 0 };
  const writing = (async () => {
    for (; progress.saved < 200; progress.saved += 1) await writer.save(saved(progress.saved));
  })();
  let reads = 0;
  for (; progress.saved < 200; reads += 1) {
    const found = await reader.latest();
    expect(found?.skipped).toEqual([]);
  }
  await writing;
  expect(reads).toBeGreaterThan(20);
});
