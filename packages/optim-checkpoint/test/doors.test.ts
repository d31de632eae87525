import { fileURLToPath } from "node:url";
import { build, type Rollup } from "vite";
import { expect, test } from "vitest";
import { aliases } from "../../../scripts/aliases.mjs";

const stage = process.env["TEST_STAGE"] === "built" ? "built" : "source";
const entry = fileURLToPath(new URL("entry-of-a-test.ts", import.meta.url));

/** What a bundle for the browser would import from outside. */
async function importsOf(code: string): Promise<readonly string[]> {
  const result = (await build({
    configFile: false,
    logLevel: "silent",
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
      target: "es2022",
      rollupOptions: { input: entry, preserveEntrySignatures: "strict", external: /^node:/ },
    },
  })) as Rollup.RollupOutput;
  return result.output.flatMap((chunk) => (chunk.type === "chunk" ? chunk.imports : []));
}

test("what a browser imports knows nothing of Node; what Node imports does", async () => {
  for (const door of ["", "/browser"])
    expect(await importsOf(`export * from "@mm/optim-checkpoint${door}";`)).toEqual([]);
  expect(await importsOf('export * from "@mm/optim-checkpoint/node";')).toContain("node:fs/promises");
});
