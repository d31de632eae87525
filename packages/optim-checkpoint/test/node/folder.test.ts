import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeCheckpoint, encodeSafetensors, restoreCheckpoint, takeCheckpoint } from "@mm/optim-checkpoint";
import {
  openCheckpoints,
  readCheckpoint,
  withFile,
  writeCheckpoint,
  writeFile,
} from "@mm/optim-checkpoint/node";
import { afterAll, beforeEach, expect, test } from "vitest";
import { gan, trained } from "../model.ts";
import { refusal } from "../../../../test-support/refusal.ts";

const place = mkdtempSync(join(tmpdir(), "optim-checkpoint-"));
afterAll(() => rmSync(place, { recursive: true }));

let folder = "";
let count = 0;
beforeEach(() => {
  folder = join(place, `run-${(count += 1)}`);
});

const file = (number: number): string => join(folder, `checkpoint-00000${number}.safetensors`);
const saved = (n: number) => ({ extra: { n }, tensors: { w: Float32Array.of(n) } });

test("saves into a folder that it makes, and finds the newest", async () => {
  const checkpoints = openCheckpoints(join(folder, "below"));
  expect(await checkpoints.latest()).toBeUndefined();
  expect(await checkpoints.list()).toEqual([]);
  expect(await checkpoints.save(saved(7))).toBe("checkpoint-000001.safetensors");
  expect(await checkpoints.save(saved(8))).toBe("checkpoint-000002.safetensors");
  const found = await checkpoints.latest();
  expect(found).toMatchObject({ name: "checkpoint-000002.safetensors", skipped: [] });
  expect(found?.checkpoint.extra).toEqual({ n: 8 });
  expect(found?.checkpoint.tensors["w"]?.data).toEqual(Float32Array.of(8));
});

test("keeps the last three, or as many as asked for, and what is not its own", async () => {
  mkdirSync(folder);
  for (const name of ["checkpoint-1.safetensors", "notes.txt", "checkpoint-000001.json"])
    writeFileSync(join(folder, name), "");
  const checkpoints = openCheckpoints(folder);
  for (const n of [1, 2, 3, 4, 5]) await checkpoints.save(saved(n));
  expect(await checkpoints.list()).toEqual([5, 4, 3].map((n) => `checkpoint-00000${n}.safetensors`));
  expect(readdirSync(folder).length).toBe(6);
  await openCheckpoints(folder, { keep: 1 }).save(saved(6));
  expect(await checkpoints.list()).toEqual(["checkpoint-000006.safetensors"]);
  await openCheckpoints(folder, { keep: Number.POSITIVE_INFINITY }).save(saved(7));
  expect((await checkpoints.list()).length).toBe(2);
});

test("after going back to an older one, what is saved next is the newest", async () => {
  const checkpoints = openCheckpoints(folder);
  for (const n of [1, 2, 3]) await checkpoints.save(saved(n));
  expect((await checkpoints.read("checkpoint-000001.safetensors")).extra).toEqual({ n: 1 });
  await checkpoints.save(saved(2));
  expect((await checkpoints.latest())?.checkpoint.extra).toEqual({ n: 2 });
});

test("goes past 999,999 in the order of numbers", async () => {
  mkdirSync(folder);
  await writeFile(join(folder, "checkpoint-999999.safetensors"), encodeCheckpoint(saved(1)));
  const checkpoints = openCheckpoints(folder);
  await checkpoints.save(saved(2));
  expect(await checkpoints.list()).toEqual([
    "checkpoint-1000000.safetensors",
    "checkpoint-999999.safetensors",
  ]);
});

test.each([0, -1, 1.5, Number.NaN, "3"])("keep: %j is refused", async (keep) => {
  expect((await refusal(() => openCheckpoints(folder, { keep: keep as number }))).code).toBe(
    "invalid-option",
  );
});

test("saves that are begun at once are done one after the other", async () => {
  const checkpoints = openCheckpoints(folder);
  const names = await Promise.all([1, 2, 3].map((n) => checkpoints.save(saved(n))));
  expect(names).toEqual([1, 2, 3].map((n) => `checkpoint-00000${n}.safetensors`));
  expect((await checkpoints.latest())?.checkpoint.extra).toEqual({ n: 3 });
});

test("a run goes on from the newest good one; what is damaged is skipped, and told", async () => {
  const checkpoints = openCheckpoints(folder);
  const run = gan();
  for (let n = 0; n < 5; n += 1) {
    run.train(n);
    await checkpoints.save(await takeCheckpoint(run.optim, { extra: { n: n + 1 } }));
  }
  // 5 is cut short, 4 has one byte changed in the middle of a tensor.
  truncateSync(file(5), 1000);
  const bytes = readFileSync(file(4));
  bytes[bytes.length - 5]! ^= 1;
  writeFileSync(file(4), bytes);
  const found = await checkpoints.latest();
  expect(found?.name).toBe("checkpoint-000003.safetensors");
  expect(found?.skipped.map(({ name, error }) => [name, error.code])).toEqual([
    ["checkpoint-000005.safetensors", "invalid-state"],
    ["checkpoint-000004.safetensors", "invalid-state"],
  ]);
  const resumed = gan();
  await restoreCheckpoint(resumed.optim, found!.checkpoint);
  for (const n of [3, 4]) resumed.train(n);
  expect(await resumed.all()).toEqual(await run.all());
});

test("a folder of nothing but damaged checkpoints is an error, not a run that begins anew", async () => {
  const checkpoints = openCheckpoints(folder);
  for (const n of [1, 2]) await checkpoints.save(saved(n));
  for (const n of [1, 2]) truncateSync(file(n), 20);
  const error = await refusal(() => checkpoints.latest());
  expect(error.code).toBe("invalid-state");
  expect(error.message).toContain('["checkpoint-000002.safetensors", "checkpoint-000001.safetensors"]');
});

test("a folder that disappears: saves are refused and not put in its place, and go on when it is back", async () => {
  const run = trained(2);
  const checkpoints = openCheckpoints(folder);
  await checkpoints.save(await takeCheckpoint(run.optim));
  renameSync(folder, `${folder}-away`);
  const error = await refusal(async () => checkpoints.save(await takeCheckpoint(run.optim)));
  expect(error.code).toBe("storage-error");
  expect(error.message).toContain('a file or folder that is there, got "ENOENT"');
  expect(error.message).toContain("training can go on");
  expect(existsSync(folder)).toBe(false);
  run.train(2);
  renameSync(`${folder}-away`, folder);
  await checkpoints.save(await takeCheckpoint(run.optim));
  const resumed = gan();
  await restoreCheckpoint(resumed.optim, (await checkpoints.latest())!.checkpoint);
  expect(await resumed.all()).toEqual(await run.all());
});

test("a folder that is a file", async () => {
  writeFileSync(folder, "a file");
  expect((await refusal(() => openCheckpoints(folder).save(saved(1)))).code).toBe("storage-error");
  expect((await refusal(() => openCheckpoints(folder).latest())).code).toBe("storage-error");
});

test("one file: written, read, and replaced as a whole", async () => {
  const path = join(folder, "deep", "best.safetensors");
  const seen: number[] = [];
  await writeCheckpoint(path, saved(1), { onProgress: ({ done }) => seen.push(done) });
  await writeCheckpoint(path, saved(2));
  expect((await readCheckpoint(path)).extra).toEqual({ n: 2 });
  expect(seen.at(-1)).toBe(encodeCheckpoint(saved(1)).size);
  expect(readdirSync(join(folder, "deep"))).toEqual(["best.safetensors"]);
  const error = await refusal(() => readCheckpoint(join(folder, "none.safetensors")));
  expect(error.code).toBe("storage-error");
  expect(error.cause).toMatchObject({ code: "ENOENT" });
  expect((await refusal(() => readCheckpoint(folder))).code).toBe("storage-error");
});

test("a large file is written and read in pieces, with progress", async () => {
  mkdirSync(folder);
  const path = join(folder, "large.safetensors");
  const data = Float32Array.from({ length: 5_000_000 }, (_, at) => at);
  const encoded = encodeSafetensors([["w", { dtype: "F32", shape: [data.length], data }]], {});
  const pieces: { readonly done: number; readonly total: number }[] = [];
  await writeFile(path, encoded, { onProgress: (progress) => pieces.push(progress) });
  // 20 MB in pieces of 8 MiB: the header, two whole ones, and the rest.
  expect(pieces.length).toBe(4);
  expect(pieces.at(-1)).toEqual({ done: encoded.size, total: encoded.size });
  const read: number[] = [];
  const bytes = await withFile(path, (source) => source.read(0, source.size, (count) => read.push(count)));
  expect(read).toEqual([2 ** 23, 2 ** 23, encoded.size - 2 ** 24]);
  expect(Buffer.from(bytes).equals(encoded.bytes())).toBe(true);
});

test("what onProgress throws ends the save, and leaves nothing behind", async () => {
  const checkpoints = openCheckpoints(folder);
  await checkpoints.save(saved(1));
  const stop = new Error("stop");
  const save = checkpoints.save(saved(2), {
    onProgress() {
      throw stop;
    },
  });
  await expect(save).rejects.toBe(stop);
  expect(readdirSync(folder)).toEqual(["checkpoint-000001.safetensors"]);
});
