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
      resume: true,
    });
    expect(parseCommandLine(["--resume", "/runs/b"])).toMatchObject({ out: "/runs/b", resume: true });
    expect(parseCommandLine(["--out", "/runs/a"])).toMatchObject({ out: "/runs/a", resume: false });
  });
});

it("a run goes on as it was started, and says where it was asked for another", () => {
  const saved = completeSettings({ seed: 7 });
  expect(resumedSettings(saved, { seed: 7, optimizers: ["muon", "adamw"] })).toEqual(saved);
  expect(() => resumedSettings(saved, { steps: 600 })).toThrow(UsageError);
  expect(() => resumedSettings(saved, { steps: 600 })).toThrow("--steps 600: the run was started with 300");
});
