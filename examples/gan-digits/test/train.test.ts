import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBackend } from "../src/backend.ts";
import { parseCommandLine } from "../src/command-line.ts";
import { UsageError } from "../src/errors.ts";
import { disposeGan, type Gan } from "../src/gan.ts";
import { readWeights } from "../src/models.ts";
import type { Settings } from "../src/settings.ts";
import { shortSettings } from "./settings.ts";
import { trained } from "./trained.ts";

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
    const place = mkdtempSync(join(folder, "run-"));
    const settings = shortSettings(options);
    const whole = await trained(settings);
    const first = await trained(settings, { stopAfter: 4, folder: place });
    expect(first.iteration).toBe(4);
    const second = await trained(settings, { resume: true, folder: place });
    expect(await bits(second.gan)).toEqual(await bits(whole.gan));
    expect(await bits(first.gan)).not.toEqual(await bits(whole.gan));
    expect([...first.lines, ...second.lines]).toEqual(whole.lines);
    for (const { gan } of [whole, first, second]) disposeGan(gan);
  });

  it("for more iterations than before gives the bits of one that was planned so, frames apart", async () => {
    const place = mkdtempSync(join(folder, "run-"));
    // 7 iterations end in mid-window, where the short window is stepped after the save.
    const options = { accumulate: 3 };
    const whole = await trained(shortSettings({ ...options, iterations: 11 }));
    const first = await trained(shortSettings({ ...options, iterations: 7 }), { folder: place });
    const second = await trained(shortSettings({ ...options, iterations: 11 }), {
      resume: true,
      folder: place,
    });
    const asPlanned = await bits(whole.gan);
    expect({ ...(await bits(second.gan)), frames: asPlanned["frames"] }).toEqual(asPlanned);
    for (const { gan } of [whole, first, second]) disposeGan(gan);
  });

  it("logs norms of the iterations that made a step", async () => {
    const { gan, lines } = await trained(shortSettings({ accumulate: 2, logEvery: 1 }));
    expect(lines.map(([iteration]) => iteration)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(lines.map(([, metrics]) => "generator.gradNorm" in metrics)).toEqual([
      false,
      true,
      false,
      true,
      false,
      true,
      false,
      true,
    ]);
    disposeGan(gan);
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
    const fromCode = await trained(shortSettings());
    const fromFile = await trained(shortSettings({ config }));
    expect(await bits(fromFile.gan)).toEqual(await bits(fromCode.gan));
    for (const { gan } of [fromCode, fromFile]) disposeGan(gan);
  });

  it("with schedules, resumed, gives the bits of an uninterrupted one", async () => {
    const place = mkdtempSync(join(folder, "run-"));
    const half = { type: "linear", startFactor: 1, endFactor: 0, length: 8 };
    const path = file("scheduled.json", {
      wrappers: {
        generator: { optimizer: { type: "sgd", lr: 0.5 }, schedules: { lr: half } },
        discriminator: { optimizer: { type: "lion", lr: 1e-3 }, accumulativeCounts: 3 },
      },
    });
    const config = parseCommandLine(["--config", path])?.given.config as string;
    const settings = shortSettings({ config });
    const whole = await trained(settings);
    // 0.5 × (1 − 8 ÷ 8) after 8 updates, and 8 ÷ 3 windows.
    expect(whole.gan.optim.getLr()).toEqual({ "generator.lr": [0], "discriminator.lr": [1e-3] });

    const first = await trained(settings, { stopAfter: 4, folder: place });
    expect(first.gan.optim.getLr()["generator.lr"]).toEqual([0.25]);
    const second = await trained(settings, { resume: true, folder: place });
    expect(await bits(second.gan)).toEqual(await bits(whole.gan));
    for (const { gan } of [whole, first, second]) disposeGan(gan);
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
  const { gan } = await trained(shortSettings({ iterations: 7, accumulate: 3 }));
  const { generator, discriminator } = await gan.optim.readMetrics();
  expect([generator.steps, discriminator.steps]).toEqual([3, 3]);
  disposeGan(gan);
});

it.each([
  ["plain", {}],
  ["accumulating and clipping", { accumulate: 2, clipNorm: 0.5 }],
])("holds as many tensors after 40 iterations as after 6: %s", async (_, options) => {
  const atStart = tf.memory().numTensors;
  const counts: string[] = [];
  const { gan } = await trained(shortSettings({ iterations: 40, logEvery: 1, ...options }), {
    onLine(iteration) {
      const { numTensors, numBytes } = tf.memory();
      if (iteration >= 6) counts.push(`${numTensors} tensors, ${numBytes} bytes`);
    },
  });
  expect(counts.length).toBe(35);
  expect(new Set(counts).size).toBe(1);
  disposeGan(gan);
  expect(tf.memory().numTensors).toBe(atStart);
});

it("keeps twelve frames, the last after the last iteration", async () => {
  const { gan } = await trained(shortSettings({ iterations: 121 }));
  // 121 (i / 11)² = i²
  expect(gan.frames.all.map(({ iteration }) => iteration)).toEqual([
    0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100, 121,
  ]);
  disposeGan(gan);
});

/** All that the next iteration depends on, and what the figures show: tensors by a hash of their bytes, where −0 is not 0. */
async function bits(gan: Gan): Promise<{ readonly [part: string]: unknown }> {
  const { generator, discriminator, random, frames, optim, schedulers } = gan;
  const state = {
    weights: await Promise.all([generator, discriminator].map(readWeights)),
    random: random.state(),
    frames: frames.all,
    optim: await optim.stateDict(),
    schedulers: schedulers.stateDict(),
  };
  const text = JSON.stringify(state, (_, value: unknown) =>
    value instanceof Float32Array ? createHash("sha256").update(value).digest("hex") : value,
  );
  return JSON.parse(text) as { readonly [part: string]: unknown };
}
