import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG } from "pngjs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Program } from "../../../../test-support/program.ts";

const program = new Program(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "coordinate-network-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeAll(() => program.build(), 300_000);

const checkpoint = "checkpoint-000001.safetensors";

it("ends with 2 and a message for bad options", async () => {
  const { code, stdout, stderr } = await program.run(["--batch", "3"]);
  expect(code).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toBe(
    "error: option '--batch <count>' argument '3' is invalid. Expected a multiple of 4, at most 65536.\nSee --help.\n",
  );
});

it("trains, tells how it goes, and draws both pictures", { timeout: 300_000 }, async () => {
  const out = join(folder, "run");
  const { code, stdout } = await program.run(["--steps", "4", "--batch", "64", "--side", "16", "--out", out]);
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
  const { code, stdout } = await program.run(args, (child) => {
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
  const { code, stderr } = await program.run(["--resume", "--out", join(folder, "nothing")]);
  expect([code, stderr]).toEqual([2, expect.stringContaining("no checkpoint in")]);
});
