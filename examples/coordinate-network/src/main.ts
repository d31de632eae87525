import { isOptimError } from "@mm/optim-core";
import { parseCommandLine } from "./command-line.ts";
import { UsageError } from "./errors.ts";

const exitCodes = { done: 0, failed: 1, badOptions: 2, interrupted: 130 } as const;

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
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
});

async function main(argv: readonly string[]): Promise<number> {
  const commandLine = parseCommandLine(argv);
  if (commandLine === undefined) return exitCodes.done;
  // Only now, since loading Dawn takes longer than saying what is wrong with an option.
  const { run } = await import("./run.ts");
  return (await run(commandLine)) ? exitCodes.done : exitCodes.interrupted;
}
