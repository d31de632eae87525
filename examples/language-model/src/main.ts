import { runProgram } from "@mm-examples/gan-digits/program";
import { parseCommandLine } from "./command-line.ts";

await runProgram(parseCommandLine, async () => (await import("./run.ts")).run);
