import { isOptimError } from "@mm/optim-core";
import { parseCommandLine } from "./command-line.ts";
import { UsageError } from "./errors.ts";
import { run } from "./run.ts";

const exitCodes = { done: 0, failed: 1, badOptions: 2, interrupted: 130 } as const;

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  if (error instanceof UsageError) {
    console.error(`error: ${error.message}\nSee --help.`);
    return exitCodes.badOptions;
  }
  console.error(isOptimError(error) ? `error: ${error.message}` : error);
  return exitCodes.failed;
});

async function main(argv: readonly string[]): Promise<number> {
  const commandLine = parseCommandLine(argv);
  if (commandLine === undefined) return exitCodes.done;
  return (await run(commandLine)) ? exitCodes.done : exitCodes.interrupted;
}
