import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Program } from "../../../test-support/program.ts";

const program = new Program(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "actor-critic-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeAll(() => program.build());

const times = new Set(["seconds", "perSecond", "secondsLeft"]);

const run = (...args: readonly string[]) => program.run(args);

it("prints how training goes and the return at the end, and writes the picture", async () => {
  const out = join(folder, "run");
  const { code, stdout, stderr } = await run("--iterations", "2", "--out", out);
  expect([code, stderr]).toEqual([0, ""]);
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

it("ends with 2 and a message for bad options", async () => {
  const { code, stdout, stderr } = await run("--iterations", "0");
  expect([code, stdout]).toEqual([2, ""]);
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
    const args = ["--iterations", "20", "--out", out];
    const { code } = await program.run(args, (child) => {
      child.stdout.once("data", () => child.kill("SIGINT"));
    });
    expect(code).toBe(130);
    expect(lines(out).length).toBeLessThan(20);
    expect(await run("--resume", "--out", out)).toMatchObject({ code: 0, stderr: "" });
    expect((await run("--iterations", "20", "--out", whole)).code).toBe(0);
    expect(lines(out)).toEqual(lines(whole));
  },
);

it("ends with 2 where there is nothing to resume, or settings to change", async () => {
  const { code, stderr } = await run("--resume", "--out", join(folder, "nothing"));
  expect([code, stderr]).toEqual([2, expect.stringContaining("no checkpoint in")]);
  expect((await run("--resume", "--iterations", "3")).code).toBe(2);
});
