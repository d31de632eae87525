import { execFileSync, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The program of an example, as a process of its own. @param folder of the example, as an address: `new URL("..", import.meta.url)` */
export class Program {
  readonly #folder: string;

  constructor(folder: URL) {
    this.#folder = fileURLToPath(folder);
  }

  get main(): string {
    return join(this.#folder, "dist/main.js");
  }

  /** A process runs the build. Where that is up to date, this does nothing. */
  build(): void {
    const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
    execFileSync(process.execPath, [join(typescript, "../bin/tsc"), "-b", this.#folder]);
  }

  /** @param watch is given the process at once, to stop it */
  run(args: readonly string[], watch?: (child: RunningProgram) => void): Promise<Ended> {
    const child = spawn(process.execPath, [this.main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    const output = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
    watch?.(child);
    return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...output })));
  }
}

export type RunningProgram = ReturnType<typeof spawn> & { readonly stdout: NodeJS.ReadableStream };
