// The program itself: what it refuses, and that a run which was stopped goes on as if it had not been.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCheckpoints, writeCheckpoint } from "@mm/optim-checkpoint/node";
import { jsonLinesFile } from "@mm/optim-train/node";
import { UsageError } from "@mm-examples/gan-digits/errors";
import { afterAll, beforeAll, expect, it } from "vitest";
import { findRuns } from "../src/checkpoint.ts";

const example = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "language-model-"));
afterAll(() => rmSync(folder, { recursive: true }));
// A process runs the build; where it is up to date this does nothing.
beforeAll(() => {
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  execFileSync(process.execPath, [join(typescript, "../bin/tsc"), "-b", example]);
});

it("has nothing to resume where there is no checkpoint of its own", async () => {
  const place = (name: string): string => join(folder, name);
  writeFileSync(place("damaged.safetensors"), "{ half a checkp");
  await writeCheckpoint(place("other.safetensors"), { extra: { info: { program: "another" } } });
  await expect(findRuns(place("none"))).rejects.toThrow(UsageError);
  await expect(findRuns(place("none.safetensors"))).rejects.toThrow(UsageError);
  await expect(findRuns(place("damaged.safetensors"))).rejects.toThrow(UsageError);
  await expect(findRuns(place("other.safetensors"))).rejects.toThrow("is of another program");
});

const accumulate = 50;
const small = `--optimizer muon --steps 2 --accumulate ${accumulate} --rows 1 --layers 1 --width 32 --context 8`;

it(
  "stopped by Ctrl-C in the middle of a window, --resume gives the bits of a run that was never stopped",
  { timeout: 300_000 },
  async () => {
    const out = (name: string): readonly string[] => [...small.split(" "), "--out", join(folder, name)];
    const whole = await run(out("whole"));
    expect([whole.code, whole.stderr]).toEqual([0, ""]);

    // The first text is printed before the first iteration.
    let stopped = await run(out("halves"), stopSoon);
    // By chance it ended with a window, or before the first.
    while (stopped.code === 130 && (await newest("halves")).run.iteration % accumulate === 0)
      stopped = await run([...out("halves"), "--resume"], stopSoon);
    expect([stopped.code, stopped.stderr]).toEqual([130, ""]);
    const { run: saved, optim } = await newest("halves");
    expect(saved.iteration % accumulate).toBeGreaterThan(0);
    expect(JSON.stringify(optim)).not.toBe(JSON.stringify((await newest("whole")).optim));

    const resumed = await run([...out("halves"), "--resume"]);
    expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
    const [halves, one] = [await newest("halves"), await newest("whole")];
    expect(one.run.iteration).toBe(2 * accumulate);
    expect(halves).toEqual(one);
    expect(lines("halves")).toEqual(lines("whole"));
  },
);

const stopSoon = (child: ReturnType<typeof start>): void =>
  void child.stdout.once("data", () => setTimeout(() => child.kill("SIGINT"), 300));

/** The newest checkpoint, without times. */
async function newest(name: string) {
  const found = await openCheckpoints(join(folder, name, "muon")).latest();
  const { optim, tensors, extra } = found!.checkpoint;
  const { seconds: _, ...run } = extra as { readonly seconds: number; readonly iteration: number };
  return { optim, tensors, run };
}

/** What was measured, without times. */
const lines = (name: string) =>
  jsonLinesFile(join(folder, name, "muon/metrics.jsonl"))
    .read()
    .map((line) => ({ ...line, seconds: 0, perSecond: 0, secondsLeft: 0 }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], watch?: (child: ReturnType<typeof start>) => void): Promise<Ended> {
  const child = start(args);
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
  watch?.(child);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...output })));
}

const start = (args: readonly string[]) =>
  spawn(process.execPath, [join(example, "dist/main.js"), ...args], { stdio: ["ignore", "pipe", "pipe"] });
