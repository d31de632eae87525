import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { UsageError } from "./errors.ts";
import { defaultSettings, type Settings } from "./settings.ts";

export interface CommandLine {
  readonly settings: Settings;
  /** Folder of all that is written. */
  readonly out: string;
  /** Whether to go on from the newest checkpoint there, with the settings that it was started with. */
  readonly resume: boolean;
}

interface ParsedOptions extends Partial<Settings> {
  readonly out?: string;
  readonly resume?: boolean;
}

const defaultOut = fileURLToPath(new URL("../runs/latest", import.meta.url));

/** @returns `undefined` when help was asked for, and printed. @throws UsageError */
export function parseCommandLine(argv: readonly string[]): CommandLine | undefined {
  const program = describe();
  try {
    program.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new UsageError(error.message.replace(/^error: /, ""), { cause: error });
  }
  const { out = defaultOut, resume = false, ...given } = program.opts<ParsedOptions>();
  return { settings: { ...defaultSettings, ...given }, out: resolve(out), resume };
}

function describe(): Command {
  const { seed, iterations, actorLr, criticLr } = defaultSettings;
  return new Command("actor-critic")
    .description(
      "Trains two networks: an actor that balances a pole, and a critic that tells how well it stands.",
    )
    .option("--iterations <count>", `rollouts of 1,024 steps (default: ${iterations})`, whole(1))
    .option("--actor-lr <number>", `the actor's first learning rate (default: ${actorLr})`, aboveZero)
    .option("--critic-lr <number>", `the critic's first learning rate (default: ${criticLr})`, aboveZero)
    .option("--seed <number>", `same seed, same numbers (default: ${seed})`, whole(0, 2 ** 31 - 1))
    .option("--out <folder>", "where everything goes (default: runs/latest of this example)")
    .addOption(
      new Option("--resume", "go on from the newest checkpoint in the folder").conflicts([
        "iterations",
        "actorLr",
        "criticLr",
        "seed",
      ]),
    )
    .addHelpText("after", "\nCtrl-C writes a checkpoint before it stops.")
    .configureOutput({ outputError: () => undefined }) // who catches the error prints it
    .exitOverride();
}

const aboveZero = /* @__PURE__ */ number((value) => value > 0, "a number above 0");
const whole = (least: number, most = Number.MAX_SAFE_INTEGER) =>
  number(
    (value) => Number.isInteger(value) && value >= least && value <= most,
    `a whole number, ${least} or more${most < Number.MAX_SAFE_INTEGER ? `, at most ${most}` : ""}`,
  );

function number(accepts: (value: number) => boolean, expected: string): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (!Number.isFinite(value) || !accepts(value)) throw new InvalidArgumentError(`Expected ${expected}.`);
    return value;
  };
}
