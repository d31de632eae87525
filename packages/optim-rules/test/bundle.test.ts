import { fileURLToPath } from "node:url";
import * as rules from "@mm/optim-rules";
import { build, type Rollup } from "vite";
import { expect, test } from "vitest";
import { aliases } from "../../../scripts/aliases.mjs";
import { pairs } from "./expectation.ts";

const source = fileURLToPath(new URL("../src/index.ts", import.meta.url));
const stage = process.env["TEST_STAGE"] === "built" ? "built" : "source";

/** The minified bundle of a module that is given as text. */
async function bundle(code: string): Promise<string> {
  const entry = "virtual:entry";
  const result = (await build({
    configFile: false,
    logLevel: "silent",
    root: fileURLToPath(new URL(".", import.meta.url)),
    resolve: { alias: aliases(stage) },
    plugins: [
      {
        name: "entry",
        resolveId: (id: string) =>
          id === entry ? source.replace("index.ts", "entry-of-a-test.js") : undefined,
        load: (id: string) => (id.endsWith("entry-of-a-test.js") ? code : undefined),
      },
    ],
    build: { write: false, minify: true, rollupOptions: { input: entry } },
  })) as Rollup.RollupOutput;
  return result.output.map((chunk) => (chunk.type === "chunk" ? chunk.code : "")).join("\n");
}

const names = new Map(pairs.map(({ name, factory }) => [name, factory().name]));
const quoted = (name: string): RegExp => new RegExp(`["'\`]${name}["'\`]`);

test.each([...names])("a bundle with %s alone contains no other rule", async (name, ruleName) => {
  const code = await bundle(`import { ${name} } from "@mm/optim-rules"; console.log(${name}());`);
  const found = [...names.values()].filter((other) => quoted(other).test(code));
  expect(found).toEqual([ruleName]);
  expect(code).not.toMatch(/emaDecay|syncPeriod|Cautious/);
});

test("importing the package for its side effects brings nothing", async () => {
  expect((await bundle('import "@mm/optim-rules";')).trim()).toBe("");
});

test("a combinator brings no rule, and no other combinator", async () => {
  const words = { cautious: /Cautious/, ema: /emaStarted/, lookahead: /stepsSinceSync/ };
  for (const name of Object.keys(words)) {
    const code = await bundle(`import { ${name} } from "@mm/optim-rules"; console.log(${name});`);
    const found = Object.entries(words).filter(([, word]) => word.test(code));
    expect(found.map(([other]) => other)).toEqual([name]);
    expect([...names.values()].filter((rule) => quoted(rule).test(code))).toEqual([]);
  }
  expect(Object.keys(rules)).toEqual(expect.arrayContaining(Object.keys(words)));
});
