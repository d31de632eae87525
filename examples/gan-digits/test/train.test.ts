import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Checkpoint } from "@mm/optim-checkpoint";
import { writeCheckpoint } from "@mm/optim-checkpoint/node";
import * as tf from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBackend } from "../src/backend.ts";
import { findCheckpoint, resumeRun, snapshot } from "../src/checkpoint.ts";
import { parseCommandLine } from "../src/command-line.ts";
import { UsageError } from "../src/errors.ts";
import { loadDigits } from "../src/load-digits.ts";
import { disposeRun, type GanRun, startRun } from "../src/gan.ts";
import type { Settings } from "../src/settings.ts";
import { train } from "../src/train.ts";
import { shortSettings } from "./settings.ts";

const { training } = loadDigits();
const folder = mkdtempSync(join(tmpdir(), "gan-digits-"));
beforeAll(() => startBackend("wasm"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("a resumed run", () => {
  const cases: [string, Partial<Settings>][] = [
    ["plain", {}],
    ["in the middle of a window", { accumulate: 3 }],
    ["in the middle of a window, before a short last one", { accumulate: 5, clipNorm: 0.5 }],
    ["AdamW, clipped by norm", { rule: "adamw", clipNorm: 0.1 }],
    ["SGD, clipped by value", { rule: "sgd", clipValue: 0.01 }],
  ];

  it.each(cases)("gives the bits of an uninterrupted one: %s", async (_, options) => {
    const settings = shortSettings(options);
    const whole = startRun(settings, training);
    expect(await train(whole)).toBe(true);

    const first = startRun(settings, training);
    expect(await train(first, stopAfter(4))).toBe(false);
    expect(first.iteration).toBe(4);
    const second = await resumed(first);
    expect(await train(second)).toBe(true);

    expect(bits(await snapshot(second))).toEqual(bits(await snapshot(whole)));
    expect(bits(await snapshot(first))).not.toEqual(bits(await snapshot(whole)));
    for (const run of [whole, first, second]) disposeRun(run);
  });

  it("logs what an uninterrupted one logs", async () => {
    const settings = shortSettings({ accumulate: 2, logEvery: 1 });
    const run = startRun(settings, training);
    await train(run);
    // Two iterations a step: every other one has a gradient norm.
    expect(run.history.map(({ iteration }) => iteration)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(run.history.map(({ generator }) => generator.gradNorm !== undefined)).toEqual([
      false,
      true,
      false,
      true,
      false,
      true,
      false,
      true,
    ]);
    disposeRun(run);
  });
});

describe("a run from a configuration file", () => {
  const file = (name: string, config: object): string => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(config));
    return path;
  };

  it("gives the bits of a run from code", async () => {
    const path = fileURLToPath(new URL("../optim.json", import.meta.url));
    const config = parseCommandLine(["--config", path])?.given.config as string;
    const [fromCode, fromFile] = [
      startRun(shortSettings(), training),
      startRun(shortSettings({ config }), training),
    ];
    for (const run of [fromCode, fromFile]) expect(await train(run)).toBe(true);
    expect(bits(await snapshot({ ...fromFile, settings: fromCode.settings }))).toEqual(
      bits(await snapshot(fromCode)),
    );
    for (const run of [fromCode, fromFile]) disposeRun(run);
  });

  it("with schedules, resumed, gives the bits of an uninterrupted one", async () => {
    const half = { type: "linear", startFactor: 1, endFactor: 0, length: 8 };
    const path = file("scheduled.json", {
      wrappers: {
        generator: { optimizer: { type: "sgd", lr: 0.5 }, schedules: { lr: half } },
        discriminator: { optimizer: { type: "lion", lr: 1e-3 }, accumulativeCounts: 3 },
      },
    });
    const config = parseCommandLine(["--config", path])?.given.config as string;
    const settings = shortSettings({ config });
    const whole = startRun(settings, training);
    expect(await train(whole)).toBe(true);
    // 0.5 × (1 − 8 ÷ 8) after 8 updates, and 8 ÷ 3 windows.
    expect(whole.optim.getLr()).toEqual({ "generator.lr": [0], "discriminator.lr": [1e-3] });

    const first = startRun(settings, training);
    await train(first, stopAfter(4));
    expect(first.optim.getLr()["generator.lr"]).toEqual([0.25]);
    const second = await resumed(first);
    await train(second);
    expect(bits(await snapshot(second))).toEqual(bits(await snapshot(whole)));
    for (const run of [whole, first, second]) disposeRun(run);
  });

  it.each([
    [
      { wrappers: { generator: { optimizer: { type: "sgd" } } } },
      "wrappers named generator and discriminator, got generator",
    ],
    [
      { wrappers: { generator: { optimizer: { type: "adamx" } } } },
      "config.wrappers.generator.optimizer.type",
    ],
  ])("refuses %j", (config, message) => {
    const path = file("wrong.json", config);
    expect(() => parseCommandLine(["--config", path])).toThrow(UsageError);
    expect(() => parseCommandLine(["--config", path])).toThrow(message);
  });

  it("refuses a file that is none, and options that the file takes the place of", () => {
    expect(() => parseCommandLine(["--config", join(folder, "nothing.json")])).toThrow(UsageError);
    expect(() => parseCommandLine(["--config", "x.json", "--lr", "1"])).toThrow("cannot be used with");
  });
});

it("steps the last window though it is short", async () => {
  // 7 micro-batches in windows of 3: steps after 3, 6 and 7.
  const run = startRun(shortSettings({ iterations: 7, accumulate: 3 }), training);
  await train(run);
  const { generator, discriminator } = await run.optim.readMetrics();
  expect([generator.steps, discriminator.steps]).toEqual([3, 3]);
  disposeRun(run);
});

it.each([
  ["plain", {}],
  ["accumulating and clipping", { accumulate: 2, clipNorm: 0.5 }],
])("holds as many tensors after 40 iterations as after 6: %s", async (_, options) => {
  const atStart = tf.memory().numTensors;
  const run = startRun(shortSettings({ iterations: 40, ...options }), training);
  const counts: string[] = [];
  await train(run, {
    onIteration: async ({ iteration }) => {
      const { numTensors, numBytes } = tf.memory();
      if (iteration >= 6) counts.push(`${numTensors} tensors, ${numBytes} bytes`);
    },
  });
  expect(counts.length).toBe(35);
  expect(new Set(counts).size).toBe(1);
  disposeRun(run);
  expect(tf.memory().numTensors).toBe(atStart);
});

it("keeps twelve frames, the last after the last iteration", async () => {
  const run = startRun(shortSettings({ iterations: 121 }), training);
  await train(run);
  // 121 (i / 11)² = i²
  expect(run.frames.map(({ iteration }) => iteration)).toEqual([
    0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100, 121,
  ]);
  disposeRun(run);
});

function stopAfter(iterations: number): Parameters<typeof train>[1] {
  const stop = new AbortController();
  const onIteration = async ({ iteration }: GanRun) => {
    if (iteration === iterations) stop.abort();
  };
  return { signal: stop.signal, onIteration };
}

/** The run that goes on from a file. */
async function resumed(run: GanRun): Promise<GanRun> {
  const file = join(folder, "saved.safetensors");
  await writeCheckpoint(file, await snapshot(run));
  return resumeRun(run.settings, training, await findCheckpoint(file));
}

/** All of a checkpoint but the time it took; tensors by a hash of their bytes, where −0 is not 0. */
function bits(checkpoint: Checkpoint): unknown {
  const text = JSON.stringify(checkpoint, (key, value: unknown) => {
    if (key === "seconds") return undefined;
    return value instanceof Float32Array ? createHash("sha256").update(value).digest("hex") : value;
  });
  return JSON.parse(text);
}
