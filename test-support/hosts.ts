import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { aliases } from "../scripts/aliases.mjs";

const ours = aliases(process.env["TEST_STAGE"] === "built" ? "built" : "source");

export interface HostProgram {
  /** Prints JSON. */
  readonly file: string;
  /** A folder whose node_modules have the libraries that the program gets. */
  readonly host: string;
  /** Which imports are looked up there. */
  readonly libraries: RegExp;
  /** Whether our packages get theirs there too, or those that they get in this repository, which are other copies then. */
  readonly shared: boolean;
}

/** Bundles a program with the libraries of a host, and runs it in a process of its own: what it prints. */
export async function runInHost(program: HostProgram): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "host-"));
  try {
    const outfile = join(folder, "program.cjs");
    await build({
      entryPoints: [program.file],
      outfile,
      bundle: true,
      platform: "node",
      // Modules, as applications' bundlers take them.
      mainFields: ["module", "main"],
      logLevel: "error",
      plugins: [resolution(program)],
    });
    return JSON.parse(execFileSync(process.execPath, [outfile], { encoding: "utf8" })) as unknown;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function resolution({ file, host, libraries, shared }: HostProgram): Plugin {
  return {
    name: "host",
    setup({ onResolve, resolve }) {
      for (const { find, replacement } of ours) onResolve({ filter: find }, () => ({ path: replacement }));
      onResolve({ filter: libraries }, ({ path, importer, kind, pluginData }) => {
        const isLooked = pluginData === "host";
        const isOurs = /\/packages\/[^/]+\/(src|dist)\//.test(importer);
        if (isLooked || !(importer === file || (shared && isOurs))) return undefined;
        return resolve(path, { kind, importer, resolveDir: host, pluginData: "host" });
      });
    },
  };
}
