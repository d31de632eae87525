import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "@mm-examples/gan-digits/errors";
import { above, flag, isCheckpointFile, parseOptions, whole } from "@mm-examples/gan-digits/options";
import { backends } from "@mm-examples/gan-digits/settings";
import { Command, Option } from "commander";
import { completeSettings, optimizers, type OptimizerName, schedules, type Settings } from "./settings.ts";

export interface CommandLine {
  /** The options that were given, without defaults. */
  readonly given: Partial<Settings>;
  /** Folder of all that is written. */
  readonly out: string;
  /** Steps between two checkpoints. */
  readonly checkpointEvery: number;
  /** A checkpoint to go on from, or a folder with the newest of each optimizer. */
  readonly resume?: string;
}

interface ParsedOptions extends Omit<Partial<Settings>, "optimizers"> {
  readonly optimizer?: readonly OptimizerName[];
  readonly out: string;
  readonly checkpointEvery: number;
  readonly resume?: true | string;
}

const defaultOut = /* @__PURE__ */ fileURLToPath(new URL("../runs/latest", import.meta.url));

/** @returns `undefined` when help was asked for, and printed. @throws UsageError */
export function parseCommandLine(argv: readonly string[]): CommandLine | undefined {
  const options = parseOptions<ParsedOptions>(describe(), argv);
  if (options === undefined) return undefined;
  const { optimizer, out, checkpointEvery, resume, ...rest } = options;
  if (rest.width !== undefined && rest.width % 32 !== 0)
    throw new UsageError(`--width ${rest.width}: expected a multiple of 32, the width of a head`);
  return {
    given: { ...(optimizer && { optimizers: [...new Set(optimizer)] }), ...rest },
    out: resolve(typeof resume === "string" && !isCheckpointFile(resume) ? resume : out),
    checkpointEvery,
    ...(resume !== undefined && { resume: resolve(typeof resume === "string" ? resume : out) }),
  };
}

/** The settings of a run that goes on: those it was started with. @throws UsageError for one that was given and differs */
export function resumedSettings(saved: Settings, given: Partial<Settings>): Settings {
  for (const [name, value] of Object.entries(given)) {
    const before = saved[name as keyof Settings];
    if (String(before) === String(value)) continue;
    throw new UsageError(
      `${flag(name)} ${String(value)}: the run was started with ${String(before ?? "its default")}, and goes on as it was started. Leave the option out`,
    );
  }
  return saved;
}

function describe(): Command {
  const { steps, seed, rows, accumulate, context, layers, width } = completeSettings({});
  return new Command("language-model")
    .description("Trains a small language model on Moby Dick, by Muon + AdamW and then by AdamW alone.")
    .addOption(
      new Option("--optimizer <names...>", "one, or several in turn (default: muon adamw)").choices(
        optimizers,
      ),
    )
    .option("--steps <count>", `steps of each optimizer (default: ${steps})`, whole(1))
    .option("--seed <number>", `same seed, same numbers (default: ${seed})`, whole(0, 2 ** 31 - 1))
    .option("--rows <count>", `texts in a micro-batch, over all ranks of a job (default: ${rows})`, whole(1))
    .option("--accumulate <count>", `micro-batches in a step (default: ${accumulate})`, whole(1))
    .addOption(
      new Option(
        "--backend, --tfjs-backend <name>",
        "where TensorFlow.js and the optimizers compute (default: wasm)",
      ).choices(backends),
    )
    .option("--context <count>", `tokens in a text (default: ${context})`, whole(2))
    .option("--layers <count>", `layers of the model (default: ${layers})`, whole(1))
    .option("--width <count>", `numbers for a place, a multiple of 32 (default: ${width})`, whole(32))
    .option("--lr <number>", "learning rate of AdamW (default: 8e-3, schedule-free 16e-3)", above(0))
    .option("--muon-lr <number>", "learning rate of Muon (default: 0.02)", above(0))
    .addOption(
      new Option("--schedule <name>", "of the rates, after a warm-up (default: decay)").choices(schedules),
    )
    .option("--checkpoint-every <count>", "steps between two checkpoints", whole(1), 100)
    .option("--out <folder>", "where texts, curves, metrics and checkpoints go", defaultOut)
    .option(
      "--resume [path]",
      "go on from a checkpoint, or from the newest ones in a folder (default: --out)",
    )
    .addHelpText("after", "\nCtrl-C writes a checkpoint before it stops.");
}
