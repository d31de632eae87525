import { describe, expect, it } from "vitest";
import { parseCommandLine, resumedSettings } from "../src/command-line.ts";
import { UsageError } from "../src/errors.ts";
import { completeSettings } from "../src/settings.ts";

describe("parseCommandLine", () => {
  it.each([
    ["--iterations 0", "a whole number, 1 or more"],
    ["--iterations 1.5", "a whole number, 1 or more"],
    ["--iterations many", "a whole number, 1 or more"],
    ["--accumulate 0", "a whole number, 1 or more"],
    ["--seed -1", "a whole number, 0 or more"],
    ["--lr 0", "a number above 0"],
    ["--generator-lr NaN", "a number above 0"],
    ["--clip-norm -1", "a number above 0"],
    ["--clip-norm 1 --clip-value 1", "cannot be used with"],
    ["--momentum 1", "a number from 0 to below 1"],
    ["--weight-decay -0.1", "a number, 0 or more"],
    ["--rule adem", "adam, adamw, sgd"],
    ["--backend webgl", "wasm, cpu, webgpu"],
    ["--iteration 5", "Did you mean --iterations?"],
    ["train", "too many arguments"],
  ])("refuses %s", (line, message) => {
    expect(() => parseCommandLine(line.split(" "))).toThrow(UsageError);
    expect(() => parseCommandLine(line.split(" "))).toThrow(message);
  });

  it("gives each network its own learning rate", () => {
    expect(parseCommandLine("--lr 1e-3 --generator-lr 1e-4".split(" "))?.given).toEqual({
      generatorLr: 1e-4,
      discriminatorLr: 1e-3,
    });
  });

  it("resumes from the folder that is written to", () => {
    expect(parseCommandLine(["--out", "/runs/a", "--resume"])).toMatchObject({
      out: "/runs/a",
      resume: "/runs/a",
    });
    expect(parseCommandLine(["--resume", "/runs/b"])).toMatchObject({ out: "/runs/b", resume: "/runs/b" });
    expect(parseCommandLine(["--resume", "/runs/b/checkpoint-000007.safetensors"])).toMatchObject({
      out: "/runs/b",
      resume: "/runs/b/checkpoint-000007.safetensors",
    });
    expect(parseCommandLine(["--out", "/runs/a", "--resume", "/runs/b"])).toMatchObject({
      out: "/runs/a",
      resume: "/runs/b",
    });
  });
});

describe("resumedSettings", () => {
  const saved = completeSettings({ seed: 7, iterations: 100 });

  it("keeps what the run was started with, but for more iterations", () => {
    expect(resumedSettings(saved, { seed: 7, iterations: 200 }, 100)).toEqual({ ...saved, iterations: 200 });
  });

  it("refuses anything else", () => {
    expect(() => resumedSettings(saved, { seed: 8 }, 50)).toThrow(
      "--seed 8: the run was started with --seed 7",
    );
    expect(() => resumedSettings(saved, { clipNorm: 1 }, 50)).toThrow(
      "--clip-norm 1: the run was started without it",
    );
    expect(() => resumedSettings(saved, { iterations: 40 }, 50)).toThrow("at iteration 50 already");
  });
});
