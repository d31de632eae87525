import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, expect, it } from "vitest";
import { startBackend } from "../../src/backend.ts";
import { disposeGan } from "../../src/gan.ts";
import type { Backend, Settings } from "../../src/settings.ts";
import { shortSettings } from "../settings.ts";
import { type Trained, trained } from "../trained.ts";

const example = fileURLToPath(new URL("../..", import.meta.url));
// A process runs the build; where it is up to date this does nothing.
beforeAll(() => {
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  execFileSync(process.execPath, [join(typescript, "../bin/tsc"), "-b", example]);
}, 300_000);

let stop: (() => Promise<void>) | undefined;
afterEach(async () => {
  await stop?.();
  stop = undefined;
});

// Losses and norms are sums of float32 over a few thousand elements, in another order: 1e-7 off at first. Ten iterations of two networks
// that follow each other let that grow; 3e-7 was seen.
const tolerance = 1e-5;

it.each<[string, Partial<Settings>]>([
  ["plain", {}],
  ["accumulating and clipping", { accumulate: 2, clipNorm: 0.5 }],
])("on WebGPU the numbers follow those on wasm: %s", { timeout: 300_000 }, async (_, options) => {
  const run = async (tfjsBackend: Backend): Promise<Trained["lines"]> => {
    stop = await startBackend(tfjsBackend);
    const settings = shortSettings({ iterations: 10, logEvery: 1, tfjsBackend, ...options });
    const { gan, lines } = await trained(settings);
    disposeGan(gan);
    return lines;
  };
  const onWasm = numbers(await run("wasm"));
  const onWebgpu = numbers(await run("webgpu"));
  expect(onWasm.length).toBeGreaterThan(20);
  expect(onWebgpu.length).toBe(onWasm.length);
  const off = onWasm.map((value, index) => Math.abs((onWebgpu[index] ?? Number.NaN) / value - 1));
  expect(Math.max(...off)).toBeLessThan(tolerance);
});

it("on WebGPU a resumed run gives the numbers of an uninterrupted one", { timeout: 300_000 }, async () => {
  stop = await startBackend("webgpu");
  const settings = shortSettings({ tfjsBackend: "webgpu", iterations: 6, logEvery: 1, accumulate: 4 });
  const folder = mkdtempSync(join(tmpdir(), "gan-digits-"));
  const whole = await trained(settings);
  const first = await trained(settings, { stopAfter: 3, folder });
  const second = await trained(settings, { resume: true, folder });
  expect(numbers([...first.lines, ...second.lines])).toEqual(numbers(whole.lines));
  for (const { gan } of [whole, first, second]) disposeGan(gan);
  rmSync(folder, { recursive: true });
});

it("as a program stops on Ctrl-C, and leaves a checkpoint", { timeout: 300_000 }, async () => {
  const out = mkdtempSync(join(tmpdir(), "gan-digits-"));
  const args = [
    "--backend",
    "webgpu",
    "--iterations",
    "1000",
    "--batch",
    "4",
    "--log-every",
    "1",
    "--out",
    out,
  ];
  const child = spawn(process.execPath, [join(example, "dist/main.js"), ...args], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  child.stdout.once("data", () => child.kill("SIGINT"));
  expect(await new Promise((resolve) => child.on("close", resolve))).toBe(130);
  expect(readdirSync(out)).toContain("checkpoint-000001.safetensors");
  rmSync(out, { recursive: true });
});

/** Losses and norms of both networks, iteration by iteration. */
const numbers = (lines: Trained["lines"]): number[] =>
  lines.flatMap(([, metrics]) =>
    ["generator.loss", "generator.gradNorm", "discriminator.loss", "discriminator.gradNorm"].flatMap(
      (name) => metrics[name] ?? [],
    ),
  );
