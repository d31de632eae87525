// Rules (type-aware: they read what the build made), types of everything that is not emitted, formatting, links between Markdown files,
// plain English, and no host names of registries.
import { join } from "node:path";
import { runAll } from "./run.mjs";
import { root } from "./workspace.mjs";

const links = ["--use", "remark-gfm", "--use", "remark-validate-links=repository:false,root:'..'"];
const quietly = ["--frail", "--quiet", "--no-stdout", "--ignore-path", "../.gitignore"];

await runAll([
  ["rules", ["oxlint", "--type-aware", "--deny-warnings"]],
  ["formatting", ["prettier", "--check", "--log-level", "warn", "."]],
  ["types", ["tsc", "-p", "."]],
  ["links", ["node_modules/.bin/remark", "..", ...quietly, ...links], join(root, "site")],
  ["prose", ["node", "scripts/prose.mjs"]],
  ["host names", ["node", "scripts/host-names.mjs"]],
]);
