import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

const example = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "actor-critic-"));
afterAll(() => rmSync(folder, { recursive: true }));
// A process runs the build; where it is up to date this does nothing.
beforeAll(() => {
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  execFileSync(process.execPath, [join(typescript, "../bin/tsc"), "-b", example]);
});

const times = new Set(["seconds", "perSecond", "secondsLeft"]);

const run = (...args: string[]) =>
  spawnSync(process.execPath, [join(example, "dist/main.js"), ...args], { encoding: "utf8" });

it("prints how training goes and the return at the end, and writes the picture", () => {
  const out = join(folder, "run");
  const { status, stdout, stderr } = run("--iterations", "2", "--out", out);
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout.split("\n")).toEqual([
    expect.stringMatching(
      /^1\/2  actor\.loss .*  actor\.lr 0\.0015  .*  critic\.lr 0\.0015  .*  return [\d.]+  /,
    ),
    expect.stringMatching(/^2\/2  actor\.loss .*  actor\.lr 0  .*  critic\.lr 0  .*  return [\d.]+  /),
    expect.stringMatching(/^trained in [\d.]+ s$/),
    expect.stringMatching(/^mean return [\d.]+ over 100 episodes \(least \d+, limit 500\)$/),
    `written to ${out}: returns.png, metrics.jsonl`,
    "",
  ]);
  const files = ["checkpoint-000001.safetensors", "metrics.jsonl", "returns.png"];
  expect(readdirSync(out).sort()).toEqual(files);
});

it("ends with 2 and a message for bad options", () => {
  const { status, stdout, stderr } = run("--iterations", "0");
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toBe(
    "error: option '--iterations <count>' argument '0' is invalid. Expected a whole number, 1 or more.\nSee --help.\n",
  );
});

it(
  "stops on Ctrl-C, and goes on with the lines of a run that was not stopped",
  { timeout: 300_000 },
  async () => {
    const lines = (out: string): readonly unknown[] =>
      readFileSync(join(out, "metrics.jsonl"), "utf8")
        .trimEnd()
        .split("\n")
        .map(
          (line) =>
            JSON.parse(line, (name, value: unknown) => (times.has(name) ? undefined : value)) as unknown,
        );
    const [out, whole] = [join(folder, "stopped"), join(folder, "whole")];
    const child = spawn(process.execPath, [
      join(example, "dist/main.js"),
      "--iterations",
      "20",
      "--out",
      out,
    ]);
    child.stdout.once("data", () => child.kill("SIGINT"));
    const [code] = (await once(child, "close")) as [number];
    expect(code).toBe(130);
    expect(lines(out).length).toBeLessThan(20);
    expect(run("--resume", "--out", out)).toMatchObject({ status: 0, stderr: "" });
    expect(run("--iterations", "20", "--out", whole).status).toBe(0);
    expect(lines(out)).toEqual(lines(whole));
  },
);

it("ends with 2 where there is nothing to resume, or settings to change", () => {
  const { status, stderr } = run("--resume", "--out", join(folder, "nothing"));
  expect([status, stderr]).toEqual([2, expect.stringContaining("no checkpoint in")]);
  expect(run("--resume", "--iterations", "3").status).toBe(2);
});
