import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const script = fileURLToPath(new URL("../../../scripts/kernels.mjs", import.meta.url));
const kernels = (...args: readonly string[]) => spawnSync("node", [script, ...args], { encoding: "utf8" });

test("pnpm kernels prints a program, its shaders and its module, with the hyperparameters given", () => {
  const { stdout, status } = kernels("sgd", '{"momentum": 0.9}', "--program", "--wgsl", "--wat");
  expect(status).toBe(0);
  expect(stdout).toMatch(/^SGD hasMomentum\n/);
  expect(stdout).toMatch(/\nmomentumBuffer = n\d+\n/);
  expect(stdout).toMatch(/\/\/ optim update SGD hasMomentum/);
  expect(stdout).toMatch(/@compute @workgroup_size\(64\)/);
  expect(stdout).toMatch(/\(module\n {2}\(import "env" "memory"/);
});

test("with the program of its evaluation point, where a rule has one", () => {
  const { stdout, status } = kernels("scheduleFreeSgd");
  expect(status).toBe(0);
  expect(stdout).toMatch(/^SGDScheduleFree\n/);
  // The trained values are put aside, and the slot that the point reads stays.
  expect(stdout).toMatch(/\nSGDScheduleFree evaluation\n[^]*\nz = n\d+\ntrained = n\d+\n/);
});

test("a combinator is no rule, and is told so", () => {
  const { stderr, status } = kernels("ema");
  expect(status).toBe(2);
  expect(stderr).toMatch(/^no rule is called ema/);
});
