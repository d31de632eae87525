import { expect, it } from "vitest";
import { parseCommandLine } from "../src/command-line.ts";
import { UsageError } from "../src/errors.ts";
import { defaultSettings } from "../src/settings.ts";

it.each([
  ["--iterations 0", "a whole number, 1 or more"],
  ["--iterations 1.5", "a whole number, 1 or more"],
  ["--seed -1", "a whole number, 0 or more"],
  ["--actor-lr 0", "a number above 0"],
  ["--critic-lr NaN", "a number above 0"],
  ["--iteration 5", "Did you mean --iterations?"],
  ["train", "too many arguments"],
])("refuses %s", (line, message) => {
  expect(() => parseCommandLine(line.split(" "))).toThrow(UsageError);
  expect(() => parseCommandLine(line.split(" "))).toThrow(message);
});

it("lays what is given over the defaults", () => {
  expect(parseCommandLine(["--actor-lr", "1e-3", "--out", "/runs/a"])).toEqual({
    settings: { ...defaultSettings, actorLr: 1e-3 },
    out: "/runs/a",
    resume: false,
  });
});
