import { fileURLToPath } from "node:url";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { build, type Rollup } from "vite";
import { aliases } from "../../../../scripts/aliases.mjs";

const stage = process.env["TEST_STAGE"] === "built" ? "built" : "source";

/** Bundles a program of `programs/` for Node into one file, which a process can run. */
export async function bundleProgram(name: string, to: string): Promise<void> {
  const result = (await build({
    configFile: false,
    logLevel: "silent",
    resolve: { alias: aliases(stage) },
    build: {
      write: false,
      minify: false,
      target: "node20",
      ssr: fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url)),
    },
    ssr: { noExternal: true },
  })) as Rollup.RollupOutput;
  await mkdir(dirname(to), { recursive: true });
  await writeFile(to, result.output[0].code);
}
