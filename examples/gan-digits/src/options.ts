import { type Command, CommanderError, InvalidArgumentError } from "commander";
import { UsageError } from "./errors.ts";

/** The options of a command line. @returns `undefined` when help was asked for, and printed. @throws UsageError */
export function parseOptions<Parsed extends object>(
  program: Command,
  argv: readonly string[],
): Parsed | undefined {
  program.configureOutput({ outputError: () => undefined }).exitOverride(); // who catches the error prints it
  try {
    program.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new UsageError(error.message.replace(/^error: /, ""), { cause: error });
  }
  return program.opts<Parsed>();
}

export const flag = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** The path of a checkpoint: a file, or else the folder with it. */
export const isCheckpointFile = (path: string): boolean => path.endsWith(".safetensors");

type Parser = (text: string) => number;

export const above = (limit: number): Parser => number((value) => value > limit, `a number above ${limit}`);
export const atLeast = (limit: number): Parser =>
  number((value) => value >= limit, `a number, ${limit} or more`);
export const fraction: Parser = /* @__PURE__ */ number(
  (value) => value >= 0 && value < 1,
  "a number from 0 to below 1",
);
export const whole = (least: number, most: number = Number.MAX_SAFE_INTEGER): Parser =>
  number(
    (value) => Number.isInteger(value) && value >= least && value <= most,
    `a whole number, ${least} or more${most < Number.MAX_SAFE_INTEGER ? `, at most ${most}` : ""}`,
  );

function number(accepts: (value: number) => boolean, expected: string): Parser {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (!Number.isFinite(value) || !accepts(value)) throw new InvalidArgumentError(`Expected ${expected}.`);
    return value;
  };
}
