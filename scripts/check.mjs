// The demands on a published package beyond correctness: each line is one tool, run on what the build made.
import { join } from "node:path";
import { runAll } from "./run.mjs";
import { publishedPackages, root } from "./workspace.mjs";

const sources = [
  "{packages,examples}/*/{src,test}/**/*.ts",
  "{bench,site}/{src,test,snippets}/**/*.ts",
  "{scripts,test-support}/**/*.{mjs,ts}",
];

await runAll([
  ["consumer", ["node", "scripts/consumer.mjs"]],
  ["READMEs and manifests", ["node", "scripts/pages.mjs"]],
  ["sizes", ["size-limit"]],
  ["unused files, exports, dependencies", ["knip", "--no-config-hints"]],
  ["workspace hygiene", ["sherif"]],
  [
    "circular imports, of types too",
    ["dpdm", "--no-tree", "--no-warning", "--no-progress", "--exit-code", "circular:1"].concat(sources),
  ],
  ...publishedPackages().map(({ name, folder }) => [
    `manifest of ${name}`,
    ["publint", "--strict", "."],
    join(root, folder),
  ]),
  // A command has no types that somebody could import.
  ...publishedPackages()
    .filter(({ exports }) => exports !== undefined)
    .map(({ name, folder }) => [
      `types of ${name}`,
      ["attw", "--pack", ".", "--profile", "esm-only"],
      join(root, folder),
    ]),
]);
