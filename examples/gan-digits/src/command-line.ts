import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { UsageError } from "./errors.ts";
import { readOptimConfig } from "./optim-config.ts";
import { above, atLeast, flag, fraction, isCheckpointFile, parseOptions, whole } from "./options.ts";
import { backends, completeSettings, rules, type Settings } from "./settings.ts";

export interface CommandLine {
  /** The options that were given, without defaults. */
  readonly given: Partial<Settings>;
  /** Folder of all that is written. */
  readonly out: string;
  readonly checkpointEvery: number;
  /** The file to go on from, or the folder with it. */
  readonly resume?: string;
}

interface ParsedOptions extends Partial<Settings> {
  readonly lr?: number;
  readonly out?: string;
  readonly checkpointEvery: number;
  readonly resume?: string | true;
}

const defaultOut = fileURLToPath(new URL("../runs/latest", import.meta.url));

/** @returns `undefined` when help was asked for, and printed. @throws UsageError */
export function parseCommandLine(argv: readonly string[]): CommandLine | undefined {
  const options = parseOptions<ParsedOptions>(describe(), argv);
  if (options === undefined) return undefined;
  const { lr, out, checkpointEvery, resume, config: file, ...rest } = options;
  const given = {
    ...(lr !== undefined && { generatorLr: lr, discriminatorLr: lr }),
    ...(file !== undefined && { config: readOptimConfig(file) }),
    ...rest,
  };
  const from = typeof resume === "string" ? resume : (out ?? defaultOut);
  const folder = isCheckpointFile(from) ? dirname(from) : from;
  return {
    given,
    out: resolve(out ?? folder),
    checkpointEvery,
    ...(resume !== undefined && { resume: resolve(from) }),
  };
}

/**
 * The settings of a run that goes on: those it was started with. Only `iterations` may grow.
 *
 * @throws UsageError for any other that was given and differs
 */
export function resumedSettings(saved: Settings, given: Partial<Settings>, iteration: number): Settings {
  for (const [name, value] of Object.entries(given)) {
    const before = saved[name as keyof Settings];
    if (name === "iterations" || before === value) continue;
    if (name === "config") {
      throw new UsageError("--config: the run was started with other optimizers. Leave the option out");
    }
    const started = before === undefined ? "without it" : `with ${flag(name)} ${before}`;
    throw new UsageError(
      `${flag(name)} ${value}: the run was started ${started}, and goes on as it was started. Leave the option out`,
    );
  }
  const iterations = given.iterations ?? saved.iterations;
  if (iterations < iteration) {
    throw new UsageError(`--iterations ${iterations}: the checkpoint is at iteration ${iteration} already`);
  }
  return { ...saved, iterations };
}

function describe(): Command {
  const defaults = completeSettings({});
  const perRule = (name: keyof Settings) =>
    `default: ${String(defaults[name])}, sgd: ${String(completeSettings({ rule: "sgd" })[name])}`;
  return new Command("gan-digits")
    .description("Trains two networks against each other, until one draws digits.")
    .addOption(
      new Option(
        "--backend, --tfjs-backend <name>",
        "where TensorFlow.js and the optimizers compute (default: wasm)",
      ).choices(backends),
    )
    .addOption(new Option("--rule <name>", "update rule of both optimizers (default: adam)").choices(rules))
    .option("--lr <number>", `learning rate of both (${perRule("generatorLr")})`, above(0))
    .option("--generator-lr <number>", "learning rate of the generator alone", above(0))
    .option("--discriminator-lr <number>", "learning rate of the discriminator alone", above(0))
    .option("--momentum <number>", "first beta, or momentum of sgd (default: 0.5)", fraction)
    .option("--weight-decay <number>", "weight decay (default: 0, adamw: 0.01)", atLeast(0))
    .option("--accumulate <count>", "micro-batches per step (default: 1)", whole(1))
    .addOption(
      new Option("--clip-norm <number>", "clip gradients by their norm, for each network").argParser(
        above(0),
      ),
    )
    .addOption(
      new Option("--clip-value <number>", "clip each element of the gradients")
        .argParser(above(0))
        .conflicts("clipNorm"),
    )
    .addOption(
      new Option(
        "--config <file>",
        "both optimizers from a JSON file, instead of the options above",
      ).conflicts([
        "rule",
        "lr",
        "generatorLr",
        "discriminatorLr",
        "momentum",
        "weightDecay",
        "accumulate",
        "clipNorm",
        "clipValue",
      ]),
    )
    .option("--batch <count>", `images in a micro-batch (default: ${defaults.batch})`, whole(1))
    .option(
      "--iterations <count>",
      `micro-batches for each network (default: ${defaults.iterations})`,
      whole(1),
    )
    .option("--seed <number>", `same seed, same numbers (default: ${defaults.seed})`, whole(0, 2 ** 31 - 1))
    .option("--log-every <count>", `iterations between two metrics (default: ${defaults.logEvery})`, whole(1))
    .option("--checkpoint-every <count>", "iterations between two checkpoints", whole(1), 500)
    .option(
      "--out <folder>",
      "where pictures, metrics and checkpoints go (default: runs/latest of this example)",
    )
    .option("--resume [path]", "go on from a checkpoint, or from the newest in a folder (default: --out)")
    .addHelpText("after", "\nCtrl-C writes a checkpoint before it stops.");
}
