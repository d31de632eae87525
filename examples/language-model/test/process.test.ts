// The program itself: what it refuses, and that a run which was stopped goes on as if it had not been.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCheckpoints, writeCheckpoint } from "@mm/optim-checkpoint/node";
import { jsonLinesFile } from "@mm/optim-train/node";
import { UsageError } from "@mm-examples/gan-digits/errors";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Program, type RunningProgram } from "../../../test-support/program.ts";
import { findRuns } from "../src/checkpoint.ts";

const program = new Program(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "language-model-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeAll(() => program.build());

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
    const whole = await program.run(out("whole"));
    expect([whole.code, whole.stderr]).toEqual([0, ""]);

    // The first text is printed before the first iteration.
    let stopped = await program.run(out("halves"), stopSoon);
    // By chance it ended with a window, or before the first.
    while (stopped.code === 130 && (await newest("halves")).run.iteration % accumulate === 0)
      stopped = await program.run([...out("halves"), "--resume"], stopSoon);
    expect([stopped.code, stopped.stderr]).toEqual([130, ""]);
    const { run: saved, optim } = await newest("halves");
    expect(saved.iteration % accumulate).toBeGreaterThan(0);
    expect(JSON.stringify(optim)).not.toBe(JSON.stringify((await newest("whole")).optim));

    const resumed = await program.run([...out("halves"), "--resume"]);
    expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
    const [halves, one] = [await newest("halves"), await newest("whole")];
    expect(one.run.iteration).toBe(2 * accumulate);
    expect(halves).toEqual(one);
    expect(lines("halves")).toEqual(lines("whole"));
  },
);

const stopSoon = (child: RunningProgram): void =>
  void child.stdout.once("data", () => setTimeout(() => child.kill("SIGINT"), 300));

/** The newest checkpoint, without times. */
async function newest(name: string) {
  const found = await openCheckpoints(join(folder, name, "muon")).latest();
  const { optim, tensors, extra } = found!.checkpoint;
  const { seconds: _, ...run } = extra as { readonly seconds: number; readonly iteration: number };
  return { optim, tensors, run };
}

/** The metrics, without times. */
const lines = (name: string) =>
  jsonLinesFile(join(folder, name, "muon/metrics.jsonl"))
    .read()
    .map((line) => ({ ...line, seconds: 0, perSecond: 0, secondsLeft: 0 }));
