import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkpointStore, type CheckpointsOptions } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { afterAll, beforeEach, expect, test } from "vitest";
import { gan, trained } from "../model.ts";
import { refusal } from "../../../../test-support/refusal.ts";

const place = mkdtempSync(join(tmpdir(), "optim-checkpoint-named-"));
afterAll(() => rmSync(place, { recursive: true }));

let folder = "";
let count = 0;
beforeEach(() => {
  folder = join(place, `run-${(count += 1)}`);
});

const named = (number: number): string => `checkpoint-${String(number).padStart(6, "0")}.safetensors`;

test("one under a name of its own replaces the one before, is not counted, and is not the latest", async () => {
  const checkpoints = openCheckpoints(folder, { keep: 1 });
  expect(await checkpoints.save({ extra: "first best" }, { as: "best" })).toBe("best.safetensors");
  expect(await checkpoints.latest()).toBeUndefined();
  for (const n of [1, 2]) await checkpoints.save({ extra: n });
  expect(await checkpoints.save({ extra: "best" }, { as: "best.safetensors" })).toBe("best.safetensors");
  expect(readdirSync(folder).sort()).toEqual(["best.safetensors", named(2)]);
  expect((await checkpoints.latest())?.checkpoint.extra).toBe(2);
  expect((await checkpoints.read("best.safetensors")).extra).toBe("best");
});

test("it is written in its turn, and what onProgress throws leaves the one before", async () => {
  const checkpoints = openCheckpoints(folder);
  const saves = [1, 2, 3].map((n) => checkpoints.save({ extra: n }, { as: "best" }));
  await Promise.all([...saves, checkpoints.save({ extra: 4 })]);
  const stop = new Error("stop");
  const onProgress = (): never => {
    throw stop;
  };
  await expect(checkpoints.save({ extra: 5 }, { as: "best", onProgress })).rejects.toBe(stop);
  expect((await checkpoints.read("best.safetensors")).extra).toBe(3);
  expect(readdirSync(folder).sort()).toEqual(["best.safetensors", named(1)]);
});

test.each(["", ".", "..", "a/b", "../best", named(7), "checkpoint-000007", "Checkpoint-000007"])(
  "as: %j is refused",
  async (as) => {
    const error = await refusal(() => openCheckpoints(folder).save({}, { as }));
    expect([error.code, error.received]).toEqual(["invalid-name", as]);
  },
);

test("keep: the newest two, and each fifth for good", async () => {
  const checkpoints = openCheckpoints(folder, { keep: { newest: 2, every: 5 } });
  for (let n = 1; n <= 13; n += 1) await checkpoints.save({ extra: n });
  expect(await checkpoints.list()).toEqual([13, 12, 10, 5].map(named));
  // Without `every` there are only the newest.
  await openCheckpoints(folder, { keep: { newest: 3 } }).save({ extra: 14 });
  expect(await checkpoints.list()).toEqual([14, 13, 12].map(named));
});

test.each([
  [{ newest: 0 }, "invalid-option"],
  [{ every: 2 }, "invalid-option"],
  [{ newest: 2, every: 0 }, "invalid-option"],
  [{ newest: 2, every: 1.5 }, "invalid-option"],
  [{ newest: 2, each: 5 }, "unknown-option"],
  [null, "invalid-option"],
])("keep: %j is refused when the folder is opened", async (keep, code) => {
  expect((await refusal(() => openCheckpoints(folder, { keep } as CheckpointsOptions))).code).toBe(code);
});

test("a run is kept with its typed arrays, as of the call, and comes back to the bit", async () => {
  const store = checkpointStore<Record<string, unknown>>(openCheckpoints(folder));
  expect(await store.find()).toBeUndefined();
  const optim = trained(4);
  const images = Float32Array.of(1, Number.NaN, -0);
  const run = {
    format: "optim-run",
    iteration: 4,
    state: {
      "a.b": { frames: [{ images }, { images: Uint8Array.of(1, 2) }] },
      a: { "b.frames": [{ images: BigInt64Array.of(-1n) }] },
      "50%": Buffer.from([7, 8, 9]).subarray(1),
    },
    // Names that look like ours come back as they were.
    $tensor: "run.iteration",
    strange: { $tensor: "x", $$: [{ $number: "NaN" }] },
    least: -Infinity,
  };
  const write = await store.take(optim.optim, run);
  const state = await optim.all();
  images.fill(0);
  run.iteration = 5;
  optim.train(4);
  expect(await write()).toBe(named(1));
  expect(await write("best")).toBe("best.safetensors");

  for (const name of [undefined, "best", "best.safetensors", named(1)]) {
    const found = await store.find(name);
    expect(found?.name).toBe(name?.startsWith("best") === true ? "best.safetensors" : named(1));
    expect(found?.run).toEqual({
      ...run,
      iteration: 4,
      state: {
        ...run.state,
        "a.b": { frames: [{ images: Float32Array.of(1, Number.NaN, -0) }, { images: Uint8Array.of(1, 2) }] },
        "50%": Uint8Array.of(8, 9),
      },
    });
    const resumed = gan();
    await found?.restore(resumed.optim);
    expect(await resumed.all()).toEqual(state);
  }
});

test("a store refuses names that are none, files that are not there, and data that is not plain", async () => {
  const store = checkpointStore(openCheckpoints(folder));
  expect((await refusal(() => store.find("../best"))).code).toBe("invalid-name");
  expect((await refusal(() => store.find("best"))).code).toBe("storage-error");
  for (const value of [new Date(), new Map(), () => 1, new DataView(new ArrayBuffer(4))]) {
    const write = await store.take(gan().optim, { value });
    expect((await refusal(() => write())).code).toBe("invalid-option");
  }
});
