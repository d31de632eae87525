import { relative } from "node:path";
import { parseArgs } from "node:util";
import { createBackend } from "./create-backend.ts";
import { UsageError } from "./usage-error.ts";

/** Where a command writes: `process`, or something that looks like it. */
export interface Terminal {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

const usage = `npm create @mm/optim-backend FOLDER -- [--name PACKAGE] [--host PACKAGE@RANGE]

  FOLDER  where the package is made; new or empty
  --name  its name on npm. Default: the folder's. optim-jax gives jaxOptimizer
  --host  the library that it is a backend for, with the versions that it works with: it becomes a peer
`;

/** @returns the exit status */
export function runCommand(args: readonly string[], { stdout, stderr }: Terminal): number {
  try {
    const { values, positionals } = parsed(args);
    if (values.help) {
      stdout.write(usage);
      return 0;
    }
    const [folder, ...others] = positionals;
    if (folder === undefined || others.length > 0) throw new UsageError("expected one folder");
    const { name, files } = createBackend(folder, values);
    const shown = files.map((file) => `  ${file}\n`).join("");
    stdout.write(`${name}\n${shown}\n${nextSteps(relative("", folder) || ".")}`);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    stderr.write(`create-optim-backend: ${error.message}\n\n${usage}`);
    return 1;
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        name: { type: "string" },
        host: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

const nextSteps = (folder: string): string => `Next:
  cd ${folder}
  npm install
  npm run build
  npm test      # the conformance kit, green over plain arrays
Then replace src/variable.ts and src/differentiate.ts with your library's, and keep it green.
`;
