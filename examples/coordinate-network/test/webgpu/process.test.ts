import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PNG } from "pngjs";
import { afterAll, beforeAll, expect, it } from "vitest";

const example = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "coordinate-network-"));
afterAll(() => rmSync(folder, { recursive: true }));
// A process runs the build; where it is up to date this does nothing.
beforeAll(() => {
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  execFileSync(process.execPath, [join(typescript, "../bin/tsc"), "-b", example]);
}, 300_000);

const checkpoint = "checkpoint-000001.safetensors";

it("ends with 2 and a message for bad options", async () => {
  const { code, stdout, stderr } = await run(["--batch", "3"]);
  expect(code).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toBe(
    "error: option '--batch <count>' argument '3' is invalid. Expected a multiple of 4, at most 65536.\nSee --help.\n",
  );
});

it("trains, tells how it goes, and draws both pictures", { timeout: 300_000 }, async () => {
  const out = join(folder, "run");
  const { code, stdout } = await run(["--steps", "4", "--batch", "64", "--side", "16", "--out", out]);
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  expect(lines[0]).toMatch(/^on \S/);
  expect(lines[1]).toMatch(/^step 0\/4 \| \d+\.\d dB \| as it begins$/);
  expect(lines.at(-2)).toMatch(/^step 4\/4 \| \d+\.\d dB \| \d+\.\d s, \d+\.\d ms a step$/);
  expect(lines.at(-1)).toMatch(/^written to .*: growth\.png, picture\.png$/);
  expect(readdirSync(out).sort()).toEqual([checkpoint, "growth.png", "picture.png"]);
  const { width, height } = PNG.sync.read(readFileSync(join(out, "picture.png")));
  expect([width, height]).toEqual([256, 256]);
});

it("on Ctrl-C stops, draws what it has learned, and ends with 130", { timeout: 300_000 }, async () => {
  const out = join(folder, "stopped");
  const args = ["--steps", "100000", "--batch", "64", "--side", "16", "--out", out];
  const { code, stdout } = await run(args, (child) => {
    child.stdout.on("data", (text: string) => {
      if (text.includes("step 0/")) child.kill("SIGINT");
    });
  });
  expect(code).toBe(130);
  expect(stdout).toContain("written to");
  expect(stdout.trimEnd().split("\n").at(-1)).toBe(`go on with: --resume --out ${out}`);
  expect(readdirSync(out).sort()).toEqual([checkpoint, "growth.png", "picture.png"]);
});

it("ends with 2 where there is nothing to resume", async () => {
  const { code, stderr } = await run(["--resume", "--out", join(folder, "nothing")]);
  expect([code, stderr]).toEqual([2, expect.stringContaining("no checkpoint in")]);
});

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
