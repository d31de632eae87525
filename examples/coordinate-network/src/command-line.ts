import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { UsageError } from "./errors.ts";
import { completeSettings, type Settings } from "./settings.ts";

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
  return { settings: completeSettings(given), out: resolve(out), resume };
}

function describe(): Command {
  const defaults = completeSettings({});
  return new Command("coordinate-network")
    .description("Fits a picture with a small network, on WebGPU and without a tensor library.")
    .option("--steps <count>", `updates (default: ${defaults.steps})`, whole(1))
    .option("--lr <number>", `learning rate of Adam at first (default: ${defaults.lr})`, above(0))
    .option("--batch <count>", `points in a micro-batch (default: ${defaults.batch})`, fours)
    .option("--accumulate <count>", "micro-batches per step (default: 1)", whole(1))
    .option("--clip-norm <number>", `clip gradients by their norm (default: ${defaults.clipNorm})`, above(0))
    .addOption(
      new Option("--loss-scale <how>", "scale the loss, and skip what overflows").choices(["dynamic"]),
    )
    .option("--side <count>", `pixels a side of the picture (default: ${defaults.side})`, whole(8, 512))
    .option("--seed <number>", `same seed, same numbers (default: ${defaults.seed})`, whole(0, 2 ** 31 - 1))
    .option("--out <folder>", "where everything goes (default: runs/latest of this example)")
    .addOption(
      new Option("--resume", "go on from the newest checkpoint in the folder").conflicts(
        Object.keys(defaults),
      ),
    )
    .addHelpText("after", "\nCtrl-C stops after the step in progress, and draws what was learned.")
    .configureOutput({ outputError: () => undefined }) // who catches the error prints it
    .exitOverride();
}

const fours = /* @__PURE__ */ number(
  (value) => Number.isInteger(value / 4) && value >= 4 && value <= 2 ** 16,
  "a multiple of 4, at most 65536",
);
const above = (limit: number) => number((value) => value > limit, `a number above ${limit}`);
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
