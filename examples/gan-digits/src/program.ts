import { isOptimError } from "@mm/optim-core";
import { UsageError } from "./errors.ts";

const exitCodes = { done: 0, failed: 1, badOptions: 2, interrupted: 130 } as const;

/**
 * Runs a program, and sets the exit code of the process.
 *
 * @param parse gives what the command line says, or `undefined` where all was said with it
 * @param load loads the rest only then, since TensorFlow.js takes longer than saying what is wrong with an option. Its result tells whether all is
 * done: a person may have stopped it
 */
export async function runProgram<CommandLine>(
  parse: (argv: readonly string[]) => CommandLine | undefined,
  load: () => Promise<(commandLine: CommandLine) => Promise<boolean>>,
): Promise<void> {
  try {
    const commandLine = parse(process.argv.slice(2));
    if (commandLine === undefined) return;
    const run = await load();
    process.exitCode = (await run(commandLine)) ? exitCodes.done : exitCodes.interrupted;
  } catch (error) {
    process.exitCode = tell(error);
  }
}

/** Says what went wrong. @returns the exit code */
function tell(error: unknown): number {
  if (error instanceof UsageError) {
    console.error(`error: ${error.message}\nSee --help.`);
    return exitCodes.badOptions;
  }
  if (!isOptimError(error)) {
    console.error(error);
    return exitCodes.failed;
  }
  console.error(`error: ${error.message}`);
  const refused = error.code === "invalid-option" || error.code === "invalid-hyperparameter";
  return refused ? exitCodes.badOptions : exitCodes.failed;
}
