import { expect, it } from "vitest";
import { parseCommandLine } from "../src/command-line.ts";
import { UsageError } from "../src/errors.ts";
import { completeSettings } from "../src/settings.ts";

it.each([
  ["--steps 0", "a whole number, 1 or more"],
  ["--steps 1.5", "a whole number, 1 or more"],
  ["--lr 0", "a number above 0"],
  ["--batch 1022", "a multiple of 4, at most 65536"],
  ["--batch 65540", "a multiple of 4, at most 65536"],
  ["--accumulate 0", "a whole number, 1 or more"],
  ["--clip-norm -1", "a number above 0"],
  ["--loss-scale 1024", "dynamic"],
  ["--side 4", "a whole number, 8 or more, at most 512"],
  ["--seed -1", "a whole number, 0 or more"],
  ["--step 5", "Did you mean --steps?"],
  ["--resume --steps 5", "cannot be used with"],
  ["fit", "too many arguments"],
])("refuses %s", (line, message) => {
  expect(() => parseCommandLine(line.split(" "))).toThrow(UsageError);
  expect(() => parseCommandLine(line.split(" "))).toThrow(message);
});

it("lays what is given over a recipe that works", () => {
  expect(parseCommandLine(["--steps", "5", "--out", "/runs/a"])).toEqual({
    settings: { ...completeSettings({}), steps: 5 },
    out: "/runs/a",
    resume: false,
  });
  expect(parseCommandLine(["--resume"])).toMatchObject({ resume: true });
});
