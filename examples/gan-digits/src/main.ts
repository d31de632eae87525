import { parseCommandLine } from "./command-line.ts";
import { runProgram } from "./program.ts";

await runProgram(parseCommandLine, async () => (await import("./run.ts")).run);
