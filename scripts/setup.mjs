// Does what a command needs before it can run, and nothing when that is done already:
//
//   node scripts/setup.mjs                      install what the lockfile says
//   node scripts/setup.mjs --build              … and build every package
//   node scripts/setup.mjs --build NAME NAME    … or only these and what they depend on
//
// Needs Node and npm only. One line a job; a tool's own output only when it failed.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.mjs";
import { manifestFiles, root } from "./workspace.mjs";

const stamp = join(root, "node_modules", ".setup-stamp");

const [flag, ...names] = process.argv.slice(2);
await install();
if (flag === "--build") await build(names);

async function install() {
  const wanted = fingerprint();
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const pnpm = existsSync(join(root, "node_modules", ".bin", "pnpm"))
    ? ["pnpm"]
    : ["npx", "--yes", packageManager];
  const done = await run("install", [...pnpm, "install", "--frozen-lockfile", "--prefer-offline"]);
  if (!done) process.exit(1);
  writeFileSync(stamp, wanted);
}

async function build(packages) {
  const done = await run("build", [
    "turbo",
    "run",
    "build",
    ...packages.map((name) => `--filter=${name}...`),
  ]);
  if (!done) process.exit(1);
}

/** Changes when the lockfile, the workspace or any manifest in it does. */
function fingerprint() {
  const hash = createHash("sha256");
  for (const file of ["pnpm-lock.yaml", "pnpm-workspace.yaml", ...manifestFiles()]) {
    hash.update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}
