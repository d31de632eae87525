// Runs recorded trajectories, any file of the format that packages/optim-recordings/golden/README.md describes:
//
//   pnpm golden FILE…                    on the backends that are installed
//   pnpm golden FILE --backend wasm      on one (several: --backend wasm,tfjs-cpu; every one: --backend all)
//   pnpm golden FILE --quiet             failures and closing lines only
//   pnpm golden --table                  all recordings of this repository, into docs/conformance.md
//
// One line per case, a closing line per backend, exit code 1 when a case failed.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { format, resolveConfig } from "prettier";
import { formatTable } from "./golden-table.mjs";
import { sourceServer } from "./source-server.mjs";
import { root } from "./workspace.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { backend: { type: "string" }, quiet: { type: "boolean" }, table: { type: "boolean" } },
});
const fixtures = join(root, "packages/optim-recordings/golden");
// Where the command was typed: pnpm runs it in the root.
const files = positionals.map((file) => resolve(process.env.INIT_CWD ?? ".", file));
/** Of other libraries: a table of their own. */
const modern = [];
if (values.table) {
  const names = readdirSync(fixtures).filter((name) => name.endsWith(".json"));
  const [optimizers, others] = [true, false].map((wanted) =>
    names.filter((name) => name.startsWith("optimizer-") === wanted).sort(),
  );
  files.push(...[...optimizers, ...others].map((name) => join(fixtures, name)));
  modern.push(
    ...readdirSync(join(fixtures, "modern"))
      .filter((name) => name.endsWith(".json"))
      .sort()
      .map((name) => join(fixtures, "modern", name)),
  );
}
if (files.length === 0) fail("usage: pnpm golden FILE… [--backend NAME,…] [--quiet], or pnpm golden --table");

const vite = await sourceServer();
const golden = await vite.ssrLoadModule("/scripts/golden-backends.ts");
const { backends, formatResult, formatSummary, parseGoldenFile } = golden;

const wanted = values.backend && values.backend !== "all" ? values.backend.split(",") : Object.keys(backends);
const unknown = wanted.find((name) => !(name in backends));
if (unknown) fail(`no backend ${unknown}; there are ${Object.keys(backends).join(", ")}`);

const all = {};
const ofOthers = {};
const rules = {};
for (const name of wanted) {
  let backend;
  try {
    backend = await backends[name]();
  } catch (error) {
    // Without --backend what is not installed, or has no device, is left out.
    const absent = { ERR_MODULE_NOT_FOUND: "not installed", ERR_NO_ADAPTER: error.message }[error.code];
    if (values.backend || values.table || absent === undefined) throw error;
    console.log(`${name}: not run: ${absent}`);
    continue;
  }
  all[name] = [];
  ofOthers[name] = [];
  for (const file of [...files, ...modern]) {
    const results = modern.includes(file) ? ofOthers[name] : all[name];
    for await (const result of backend.golden(read(file))) {
      results.push(result);
      if (!values.quiet || result.status === "failed") console.log(`${name}  ${formatResult(result)}`);
    }
  }
  if (values.table) rules[name] = await collected(backend.rules());
}
for (const [name, results] of Object.entries(all)) console.log(formatSummary(name, results));
if (values.table) {
  const file = join(root, "docs/conformance.md");
  const options = { ...(await resolveConfig(file)), filepath: file };
  writeFileSync(file, await format(formatTable(all, ofOthers, rules), options));
}
if (
  [all, ofOthers].some((sets) =>
    Object.values(sets)
      .flat()
      .some(({ status }) => status === "failed"),
  )
)
  process.exitCode = 1;
await vite.close();

async function collected(results) {
  const list = [];
  for await (const result of results) list.push(result);
  return list;
}

function read(file) {
  try {
    return parseGoldenFile(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    return fail(`${file}: ${error.message}`);
  }
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
