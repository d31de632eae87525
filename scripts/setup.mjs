// Does what a command needs before it can run, and nothing when that is done already:
//
//   node scripts/setup.mjs                      install what the lockfile says
//   node scripts/setup.mjs --build              … and build every package
//   node scripts/setup.mjs --build NAME NAME    … or only these and what they depend on
//
// Needs Node and npm only. One line a job; a tool's own output only when it failed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { manifestFiles, root } from "./workspace.mjs";

const bin = join(root, "node_modules", ".bin");
const stamp = join(root, "node_modules", ".setup-stamp");

const [flag, ...names] = process.argv.slice(2);
install();
if (flag === "--build") build(names);

function install() {
  const wanted = fingerprint();
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const pnpm = existsSync(join(bin, "pnpm")) ? [join(bin, "pnpm")] : ["npx", "--yes", packageManager];
  run("install", [...pnpm, "install", "--frozen-lockfile", "--prefer-offline"]);
  writeFileSync(stamp, wanted);
}

function build(packages) {
  run("build", [join(bin, "turbo"), "run", "build", ...packages.map((name) => `--filter=${name}...`)]);
}

/** Changes when the lockfile, the workspace or any manifest in it does. */
function fingerprint() {
  const hash = createHash("sha256");
  for (const file of ["pnpm-lock.yaml", "pnpm-workspace.yaml", ...manifestFiles()]) {
    hash.update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}

function run(job, [command, ...args]) {
  const start = performance.now();
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      CI: "true", // pnpm asks nothing
      TURBO_TELEMETRY_DISABLED: "1",
      PATH: `${bin}:${process.env.PATH}`, // turbo looks for pnpm
    },
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (status === 0) return void console.error(`${job}: done in ${seconds} s`);
  process.stderr.write(stdout ?? "");
  process.stderr.write(stderr ?? "");
  console.error(`${job}: failed${error ? ` (${error.message})` : ""} after ${seconds} s`);
  process.exit(status || 1);
}
