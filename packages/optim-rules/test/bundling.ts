import { fileURLToPath } from "node:url";
import { build, type Rollup } from "vite";
import { aliases } from "../../../scripts/aliases.mjs";

const stage = process.env["TEST_STAGE"] === "built" ? "built" : "source";
const entry = fileURLToPath(new URL("entry-of-a-test.ts", import.meta.url));

/** The minified bundle of a module that is given as text, as an application's bundler would make it. */
export async function bundle(code: string): Promise<string> {
  const result = (await build({
    configFile: false,
    logLevel: "silent",
    root: fileURLToPath(new URL(".", import.meta.url)),
    resolve: { alias: aliases(stage) },
    plugins: [
      {
        name: "entry",
        resolveId: (id: string) => (id === entry ? id : undefined),
        load: (id: string) => (id === entry ? code : undefined),
      },
    ],
    build: {
      write: false,
      minify: true,
      target: "es2022",
      rollupOptions: { input: entry, preserveEntrySignatures: "strict" },
    },
  })) as Rollup.RollupOutput;
  return result.output.map((chunk) => (chunk.type === "chunk" ? chunk.code : "")).join("\n");
}

/** Bundles a module and runs it: what it exports. */
export async function run(code: string): Promise<Readonly<Record<string, unknown>>> {
  const url = `data:text/javascript,${encodeURIComponent(await bundle(code))}`;
  return (await import(/* @vite-ignore */ url)) as Readonly<Record<string, unknown>>;
}
