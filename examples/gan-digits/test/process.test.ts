import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { readCheckpoint, writeCheckpoint } from "@mm/optim-checkpoint/node";
import type { MetricsLine } from "@mm/optim-train/node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Program } from "../../../test-support/program.ts";
import type { Quality } from "../src/quality.ts";
import type { SavedRun } from "@mm/optim-train";

const program = new Program(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "gan-digits-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeAll(() => program.build());

it("ends with 2 and a message for bad options", async () => {
  const { code, stdout, stderr } = await program.run(["--accumulate", "0"]);
  expect(code).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toBe(
    "error: option '--accumulate <count>' argument '0' is invalid. Expected a whole number, 1 or more.\nSee --help.\n",
  );
});

it("ends with 2 where there is nothing to resume, or something else", async () => {
  const none = join(folder, "none");
  const missing = await program.run(["--resume", join(none, "none.safetensors"), "--out", folder]);
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining("no checkpoint at")]);
  const empty = await program.run(["--resume", "--out", none]);
  expect([empty.code, empty.stderr]).toEqual([2, expect.stringContaining("no checkpoint in")]);
  const other = join(folder, "other.safetensors");
  writeFileSync(other, "{ half a checkp");
  const damaged = await program.run(["--resume", other]);
  expect([damaged.code, damaged.stderr]).toEqual([2, expect.stringContaining("damaged or no checkpoint")]);
  await writeCheckpoint(other, { extra: { program: "another" } });
  const another = await program.run(["--resume", other]);
  expect([another.code, another.stderr]).toEqual([2, expect.stringContaining("of another program")]);
});

// Some seconds; long on a machine that is busy otherwise.
it(
  "writes a checkpoint on Ctrl-C, and goes on from it; without a terminal in plain lines",
  { timeout: 300_000 },
  async () => {
    const out = join(folder, "run");
    const first = "checkpoint-000001.safetensors";
    const stopped = await program.run(
      ["--iterations", "100000", "--batch", "4", "--log-every", "1", "--out", out],
      (child) => {
        child.stdout.once("data", () => child.kill("SIGINT"));
      },
    );
    expect(stopped.code).toBe(130);
    expect(stopped.stdout).toContain("go on with: --resume");
    expect(readdirSync(out).sort()).toEqual([first, "losses.png", "metrics.jsonl", "samples.png"]);
    const { iteration } = (await readCheckpoint(join(out, first))).extra as SavedRun;
    expect(iteration).toBeGreaterThan(0);
    const before = readFileSync(join(out, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    expect(before.length).toBe(iteration);

    const resumed = await program.run(["--out", out, "--resume", "--iterations", String(iteration + 3)]);
    expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
    const after = readFileSync(join(out, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    // The earlier iterations, and three more.
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after.slice(before.length).map((line) => (JSON.parse(line) as MetricsLine).step)).toEqual(
      [1, 2, 3].map((more) => iteration + more),
    );
    const { heldOut } = JSON.parse(readFileSync(join(out, "quality.json"), "utf8")) as Quality;
    expect(heldOut.agreement).toBeGreaterThan(0.9);

    // No escape codes, no carriage returns, and each line whole.
    expect(stripVTControlCharacters(resumed.stdout)).toBe(resumed.stdout);
    expect(resumed.stdout).not.toContain("\r");
    expect(resumed.stdout.split("\n")[0]).toMatch(
      /^\d+\/\d+  generator\.loss [\d.]+  generator\.lr 0\.002  generator\.gradNorm [\d.]+  discriminator\.loss .* it\/s  \d+ s left$/,
    );

    // It saved again; where that one is damaged, the one before is found.
    const newest = join(out, "checkpoint-000002.safetensors");
    truncateSync(newest, 5000);
    const again = await program.run(["--out", out, "--resume", "--iterations", String(iteration + 1)]);
    expect([again.code, again.stderr]).toEqual([
      0,
      expect.stringContaining("passed over: checkpoint-000002"),
    ]);
    expect(readdirSync(out).filter((name) => name.includes("unfinished"))).toEqual([]);
  },
);
