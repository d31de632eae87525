import { decodeCheckpoint, encodeCheckpoint, restoreCheckpoint, takeCheckpoint } from "@mm/optim-checkpoint";
import { download, openCheckpoints, upload, writeHandle } from "@mm/optim-checkpoint/browser";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { gan, trained } from "../model.ts";
import { refusal } from "../../../../test-support/refusal.ts";

let directory: FileSystemDirectoryHandle;
let count = 0;
beforeEach(async () => {
  const root = await navigator.storage.getDirectory();
  directory = await root.getDirectoryHandle(`run-${(count += 1)}`, { create: true });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await (await navigator.storage.getDirectory()).removeEntry(directory.name, { recursive: true });
});

const fileOf = async (name: string): Promise<FileSystemFileHandle> =>
  directory.getFileHandle(name, { create: true });

test("a run goes on from the newest good one of the origin's own files, to the bit", async () => {
  const checkpoints = openCheckpoints(directory, { keep: 3 });
  expect(await checkpoints.latest()).toBeUndefined();
  const run = gan();
  for (let n = 0; n < 5; n += 1) {
    run.train(n);
    const seen: number[] = [];
    await checkpoints.save(await takeCheckpoint(run.optim, { extra: { n } }), {
      onProgress: ({ done }) => seen.push(done),
    });
    expect(seen.length).toBeGreaterThan(1);
  }
  const names = [5, 4, 3].map((n) => `checkpoint-00000${n}.safetensors`);
  expect(await checkpoints.list()).toEqual(names);
  // The newest is cut short.
  const writable = await (await fileOf(names[0]!)).createWritable({ keepExistingData: true });
  await writable.truncate(1000);
  await writable.close();
  const found = await checkpoints.latest();
  expect([found?.name, found?.checkpoint.extra]).toEqual([names[1], { n: 3 }]);
  expect(found?.skipped.map(({ error }) => error.code)).toEqual(["invalid-state"]);
  const resumed = gan();
  await restoreCheckpoint(resumed.optim, found!.checkpoint);
  resumed.train(4);
  expect(await resumed.all()).toEqual(await run.all());
});

test("a write that was cut off leaves no checkpoint: nothing is found, and the run begins", async () => {
  const checkpoints = openCheckpoints(directory);
  const writable = await (await fileOf("checkpoint-000001.safetensors")).createWritable();
  await writable.write(new Uint8Array(100));
  // Never closed, as when the page is.
  expect(await checkpoints.latest()).toBeUndefined();
  expect(await checkpoints.save({ extra: 1 })).toBe("checkpoint-000001.safetensors");
  expect((await checkpoints.latest())?.checkpoint.extra).toBe(1);
  await writable.abort();
});

test.each([
  ["QuotaExceededError", "room within the quota"],
  ["NotAllowedError", "the permission to do so"],
  ["InvalidStateError", "no error of the browser"],
])("%s: refused in words, nothing is left or lost, and training goes on", async (name, words) => {
  const run = trained(2);
  const checkpoints = openCheckpoints(directory);
  await checkpoints.save(await takeCheckpoint(run.optim, { extra: 2 }));
  const before = await run.all();
  vi.spyOn(FileSystemWritableFileStream.prototype, "write").mockRejectedValue(
    new DOMException("as if", name),
  );
  const error = await refusal(async () => checkpoints.save(await takeCheckpoint(run.optim)));
  expect(error.code).toBe("storage-error");
  expect(error.message).toContain(words);
  expect(error.cause).toBeInstanceOf(DOMException);
  vi.restoreAllMocks();
  expect(await checkpoints.list()).toEqual(["checkpoint-000001.safetensors"]);
  expect((await checkpoints.latest())?.checkpoint.extra).toBe(2);
  expect(await run.all()).toEqual(before);
  await checkpoints.save(await takeCheckpoint(run.optim));
});

test("a folder that disappears", async () => {
  const root = await navigator.storage.getDirectory();
  const gone = await root.getDirectoryHandle("gone", { create: true });
  const checkpoints = openCheckpoints(gone);
  await checkpoints.save({ extra: 1 });
  await root.removeEntry("gone", { recursive: true });
  expect((await refusal(() => checkpoints.save({ extra: 2 }))).code).toBe("storage-error");
  expect((await refusal(() => checkpoints.latest())).code).toBe("storage-error");
});

test("a folder of a checkpoint's name is passed over", async () => {
  await directory.getDirectoryHandle("checkpoint-000002.safetensors", { create: true });
  const checkpoints = openCheckpoints(directory);
  expect(await checkpoints.latest()).toBeUndefined();
  expect(await checkpoints.save({ extra: 1 })).toBe("checkpoint-000003.safetensors");
  expect((await checkpoints.latest())?.skipped).toEqual([]);
  expect((await refusal(() => checkpoints.read("checkpoint-000002.safetensors"))).code).toBe("storage-error");
});

test("two that save to one folder at once, as two tabs do: each file is there under the name that was told", async () => {
  const both = [1, 2].map(() => openCheckpoints(directory, { keep: Number.POSITIVE_INFINITY }));
  const saves = [0, 1, 2, 3, 4].flatMap((n) =>
    both.map(async (checkpoints, id) => [await checkpoints.save({ extra: { id, n } }), { id, n }] as const),
  );
  const told = await Promise.all(saves);
  expect(new Set(told.map(([name]) => name)).size).toBe(10);
  for (const [name, extra] of told) expect((await both[0]!.read(name)).extra).toEqual(extra);
});

test("two that keep one: an old one that the other removed does not fail a save", async () => {
  const both = [1, 2].map(() => openCheckpoints(directory, { keep: 1 }));
  await Promise.all(
    [0, 1, 2, 3, 4].flatMap((n) => both.map((checkpoints) => checkpoints.save({ extra: n }))),
  );
  expect((await both[0]!.list()).length).toBeGreaterThan(0);
  expect((await both[0]!.latest())?.skipped).toEqual([]);
});

test("an old one that cannot be removed is told, and does not fail the save", async () => {
  const left: unknown[] = [];
  const checkpoints = openCheckpoints(directory, { keep: 1, onNotRemoved: ({ name }) => left.push(name) });
  await checkpoints.save({ extra: 1 });
  // Open for writing: the browser refuses to remove it.
  const writable = await (await fileOf("checkpoint-000001.safetensors")).createWritable();
  expect(await checkpoints.save({ extra: 2 })).toBe("checkpoint-000002.safetensors");
  expect(left).toEqual(["checkpoint-000001.safetensors"]);
  await writable.abort();
  await checkpoints.save({ extra: 3 });
  expect(await checkpoints.list()).toEqual(["checkpoint-000003.safetensors"]);
});

test("one under a name of its own replaces the one before; where it fails, that one stays, or nothing is left", async () => {
  const checkpoints = openCheckpoints(directory);
  const onProgress = (): never => {
    throw new Error("stop");
  };
  const fail = () => checkpoints.save({ extra: 0 }, { as: "best", onProgress });
  await expect(fail()).rejects.toThrow("stop");
  expect((await refusal(() => checkpoints.read("best.safetensors"))).code).toBe("storage-error");
  for (const extra of [1, 2]) await checkpoints.save({ extra }, { as: "best" });
  await expect(fail()).rejects.toThrow("stop");
  expect((await checkpoints.read("best.safetensors")).extra).toBe(2);
  expect(await checkpoints.latest()).toBeUndefined();
});

test("a damaged file does not count towards keep", async () => {
  const checkpoints = openCheckpoints(directory, { keep: 2 });
  for (const extra of [1, 2, 3]) await checkpoints.save({ extra });
  const writable = await (await fileOf("checkpoint-000003.safetensors")).createWritable();
  await writable.write("something else");
  await writable.close();
  await checkpoints.save({ extra: 4 });
  expect(await checkpoints.list()).toEqual([4, 3, 2].map((n) => `checkpoint-00000${n}.safetensors`));
});

test("a browser that cannot write files so is told apart", async () => {
  const handle = { name: "a.safetensors" } as FileSystemFileHandle;
  expect((await refusal(() => writeHandle(handle, encodeCheckpoint({})))).code).toBe("unsupported");
});

test("what onProgress throws ends the write, and leaves what was there", async () => {
  const handle = await fileOf("best.safetensors");
  await writeHandle(handle, encodeCheckpoint({ extra: 1 }));
  const stop = new Error("stop");
  const write = writeHandle(handle, encodeCheckpoint({ extra: 2 }), {
    onProgress() {
      throw stop;
    },
  });
  await expect(write).rejects.toBe(stop);
  expect((await decodeCheckpoint(await handle.getFile())).extra).toBe(1);
});

test("download: a link to the file, with its name, is clicked", async () => {
  const clicked: HTMLAnchorElement[] = [];
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (this: HTMLAnchorElement) {
    clicked.push(this);
  });
  const revoked = vi.spyOn(URL, "revokeObjectURL");
  const run = trained(4);
  download(encodeCheckpoint(await takeCheckpoint(run.optim)), "run.safetensors");
  const [link] = clicked;
  expect([clicked.length, link?.download]).toEqual([1, "run.safetensors"]);
  const resumed = gan();
  await restoreCheckpoint(
    resumed.optim,
    await decodeCheckpoint(await (await fetch(link?.href ?? "")).blob()),
  );
  expect(await resumed.all()).toEqual(await run.all());
  await vi.waitFor(() => expect(revoked).toHaveBeenCalledWith(link?.href));
});

test("upload: the file that was chosen, or none", async () => {
  const asked: HTMLInputElement[] = [];
  vi.spyOn(HTMLInputElement.prototype, "click").mockImplementation(function (this: HTMLInputElement) {
    asked.push(this);
  });
  const choosing = upload();
  const chosen = new DataTransfer();
  chosen.items.add(new File([encodeCheckpoint({ extra: 7 }).blob()], "run.safetensors"));
  asked[0]!.files = chosen.files;
  asked[0]!.dispatchEvent(new Event("change"));
  const file = await choosing;
  expect((await decodeCheckpoint(file!)).extra).toBe(7);
  expect([asked[0]!.type, asked[0]!.accept]).toEqual(["file", ".safetensors"]);

  const leaving = upload();
  asked[1]!.dispatchEvent(new Event("cancel"));
  expect(await leaving).toBeUndefined();
});

test("a stream is read, and written", async () => {
  const run = trained(4);
  const encoded = encodeCheckpoint(await takeCheckpoint(run.optim));
  const through = await decodeCheckpoint(encoded.stream().pipeThrough(new TransformStream()));
  const resumed = gan();
  await restoreCheckpoint(resumed.optim, through);
  expect(await resumed.all()).toEqual(await run.all());
});
