import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

const example = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "actor-critic-"));
afterAll(() => rmSync(folder, { recursive: true }));
// What runs as a process is the build; where it is up to date this does nothing.
beforeAll(() => {
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  execFileSync(process.execPath, [join(typescript, "../bin/tsc"), "-b", example]);
});

const run = (...args: string[]) =>
  spawnSync(process.execPath, [join(example, "dist/main.js"), ...args], { encoding: "utf8" });

it("prints how training goes and the return at the end, and writes the picture", () => {
  const out = join(folder, "run");
  const { status, stdout, stderr } = run("--iterations", "2", "--out", out);
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout.split("\n")).toEqual([
    expect.stringMatching(
      /^1\/2 \| mean return \d+ \| actor: loss .*, lr 1.5e-3, .* \| critic: loss .*, lr 1.5e-3, /,
    ),
    expect.stringMatching(
      /^2\/2 \| mean return \d+ \| actor: loss .*, lr 0.0e\+0, .* \| critic: loss .*, lr 0.0e\+0, /,
    ),
    expect.stringMatching(/^trained in [\d.]+ s$/),
    expect.stringMatching(/^mean return [\d.]+ over 100 episodes \(least \d+, limit 500\)$/),
    `written to ${out}: returns.png`,
    "",
  ]);
  expect(readdirSync(out)).toEqual(["returns.png"]);
});

it("ends with 2 and a message for bad options", () => {
  const { status, stdout, stderr } = run("--iterations", "0");
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toBe(
    "error: option '--iterations <count>' argument '0' is invalid. Expected a whole number, 1 or more.\nSee --help.\n",
  );
});
