import { UsageError } from "@mm-examples/gan-digits/errors";
import { describe, expect, it } from "vitest";
import { parseCommandLine, resumedSettings } from "../src/command-line.ts";
import { completeSettings } from "../src/settings.ts";

describe("parseCommandLine", () => {
  it.each([
    ["--steps 0", "a whole number, 1 or more"],
    ["--rows 1.5", "a whole number, 1 or more"],
    ["--accumulate none", "a whole number, 1 or more"],
    ["--optimizer sgd", "muon, adamw, schedule-free"],
    ["--backend webgl", "wasm, cpu, webgpu"],
    ["--width 40", "a multiple of 32"],
    ["--lr 0", "a number above 0"],
    ["--schedule wsd", "decay, level, cosine"],
    ["--iterations 5", "unknown option"],
  ])("refuses %s", (line, message) => {
    const parse = () => parseCommandLine(line.split(" "));
    expect(parse).toThrow(message);
    expect(parse).toThrow(expect.objectContaining({ name: "UsageError" }) as Error);
  });

  it("takes one optimizer or several, each once", () => {
    const line = "--optimizer schedule-free adamw adamw --steps 7";
    expect(parseCommandLine(line.split(" "))?.given).toEqual({
      optimizers: ["schedule-free", "adamw"],
      steps: 7,
    });
  });

  it("resumes from the folder that is written to, or from the one that is named", () => {
    expect(parseCommandLine(["--out", "/runs/a", "--resume"])).toMatchObject({
      out: "/runs/a",
      resume: "/runs/a",
    });
    expect(parseCommandLine(["--resume", "/runs/b"])).toMatchObject({ out: "/runs/b", resume: "/runs/b" });
    expect(parseCommandLine(["--out", "/runs/a"])).not.toHaveProperty("resume");
  });

  it("resumes from a checkpoint, and writes elsewhere", () => {
    const line = "--resume /down/page.safetensors --out /runs/a";
    expect(parseCommandLine(line.split(" "))).toMatchObject({
      out: "/runs/a",
      resume: "/down/page.safetensors",
    });
  });
});

it("a run goes on as it was started, and says where it was asked for another", () => {
  const saved = completeSettings({ seed: 7 });
  expect(resumedSettings(saved, { seed: 7, optimizers: ["muon", "adamw"] })).toEqual(saved);
  expect(() => resumedSettings(saved, { steps: 600 })).toThrow(UsageError);
  expect(() => resumedSettings(saved, { steps: 600 })).toThrow("--steps 600: the run was started with 300");
  expect(() => resumedSettings(saved, { lr: 0.1 })).toThrow("--lr 0.1: the run was started with its default");
});
