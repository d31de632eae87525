import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Rollup } from "vite";
import { aliases } from "../../../scripts/aliases.mjs";

const stage = process.env["TEST_STAGE"] === "built" ? "built" : "source";
const root = new URL("..", import.meta.url);

/**
 * Bundles a program of `programs/` for Node into one file, which processes and threads can run. It stands in this package, where what is
 * not bundled is found.
 *
 * @param from the package whose program it is. Default: this one
 */
export async function bundleProgram(name: string, from: URL = root): Promise<string> {
  const result = (await build({
    configFile: false,
    logLevel: "silent",
    resolve: { alias: aliases(stage) },
    build: {
      write: false,
      minify: false,
      target: "node20",
      ssr: fileURLToPath(new URL(`test/programs/${name}.ts`, from)),
      rollupOptions: { external: [/^@tensorflow\//], output: { codeSplitting: false } },
    },
    ssr: { noExternal: [/^@mm\//], external: ["koffi"] },
  })) as Rollup.RollupOutput;
  const folder = fileURLToPath(new URL("node_modules/.cache/programs", root));
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, result.output[0].code);
  return file;
}
