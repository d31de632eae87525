// Measures what the tests run of core, dict and rules, and names in docs/coverage.md what they do not. `pnpm coverage`.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { run } from "./run.mjs";
import { root } from "./workspace.mjs";

const packages = ["optim-core", "optim-dict", "optim-rules"];
const folder = mkdtempSync(join(tmpdir(), "coverage-"));

const included = packages.map((name) => `--coverage.include=packages/${name}/src/**`);
const tests = [...packages, "optim-conformance", "optim-recordings"].map((name) => `packages/${name}`);
const options = "--project node --coverage --coverage.reporter=json".split(" ");
const measured = [...options, `--coverage.reportsDirectory=${folder}`, ...included, ...tests];
if (!(await run("tests", ["vitest", "run", ...measured]))) process.exit(1);

/** @type {Record<string, { statementMap: Record<string, { start: { line: number } }>, s: Record<string, number> }>} */
const files = JSON.parse(readFileSync(join(folder, "coverage-final.json"), "utf8"));
const rows = packages.map((name) => {
  const all = Object.entries(files)
    .filter(([file]) => file.startsWith(join(root, "packages", name, "src")))
    .flatMap(([, { s }]) => Object.values(s));
  const run = all.filter((times) => times > 0).length;
  return `| \`@mm/${name}\` | ${run} of ${all.length} | ${((100 * run) / all.length).toFixed(1)} % |`;
});
const missed = Object.entries(files).flatMap(([file, { statementMap, s }]) => {
  const lines = readFileSync(file, "utf8").split("\n");
  const numbers = new Set(
    Object.keys(s)
      .filter((id) => s[id] === 0)
      .map((id) => statementMap[id]?.start.line ?? 0),
  );
  return [...numbers].map(
    (line) =>
      `| ${relative(root, file)}:${line} | \`${(lines[line - 1] ?? "").trim().replaceAll("|", "\\|")}\` |`,
  );
});

const page = join(root, "docs/coverage.md");
writeFileSync(
  page,
  [
    "# Coverage",
    "",
    "For contributors. Made by `pnpm coverage`: statements of core, dict and rules that their own tests and those of the conformance kit run.",
    "",
    "| package | statements | |",
    "| --- | --- | --- |",
    ...rows,
    "",
    "## What no test runs",
    "",
    ...(missed.length === 0 ? ["Nothing."] : ["| where | what |", "| --- | --- |", ...missed]),
    "",
  ].join("\n"),
);
if (!(await run("formatting", ["prettier", "--write", page]))) process.exit(1);
