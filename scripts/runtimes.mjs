// Runs the conformance kit over the WebAssembly backend, from tarballs, on every runtime that npm and this machine have, and writes the versions
// into docs/runtimes.md. It installs those runtimes into a folder of its own, so it is no part of the check of every change.
//
//   npm run runtimes
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { chromium } from "playwright";
import { format, resolveConfig } from "prettier";
import { root } from "./workspace.mjs";

const page = join(root, "docs/runtimes.md");
const marked = /<!-- runtimes: [^]*<!-- \/runtimes -->\n/;
const nodes = [20, 22, 24];
const ours = ["optim-core", "optim-rules", "optim-wasm", "optim-conformance"];
const folder = mkdtempSync(join(tmpdir(), "runtimes-"));

try {
  await prepare();
  const results = [
    ...nodes.map((major) => command(`Node`, binary(`node${major}`, "node"))),
    command("Bun", binary("@oven", "bun")),
    command("Deno", binary("@deno", "deno"), "run"),
    workerd(),
    ...(await browser()),
  ];
  for (const { runtime, version, passed, failures, compiled } of results) {
    console.log(`${runtime} ${version}: ${passed} passed, ${failures.length} failed, compiled: ${compiled}`);
    for (const failure of failures) console.error(`  ${failure}`);
  }
  if (results.every(({ failures }) => failures.length === 0)) await writeTable(results);
  else process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}

/** Our tarballs, the runtimes, and the kit in one file for those that have no packages. */
async function prepare() {
  execFileSync(process.execPath, [join(root, "scripts/tarballs.mjs"), folder], { stdio: "inherit" });
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  const packages = [
    ...nodes.map((major) => `node${major}@npm:node-${process.platform}-${process.arch}@${major}`),
    "bun",
    "deno",
    "workerd",
    ...ours.map((name) => `./${name}.tgz`),
  ];
  // The programs are in packages of their own for each system: no script has to run.
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", ...packages], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
  copyFileSync(join(root, "scripts/runtimes/kit.mjs"), join(folder, "kit.mjs"));
  const print = "console.log(JSON.stringify(await runKit()));";
  const load = 'import { runKit } from "./kit.mjs";';
  writeFileSync(join(folder, "run.mjs"), `${load}\n${print}\n`);
  writeFileSync(join(folder, "worker.mjs"), `${load}\nexport default { async test() { ${print} } };\n`);
  for (const name of ["kit", "worker"]) {
    await build({
      absWorkingDir: folder,
      entryPoints: [`${name}.mjs`],
      bundle: true,
      format: "esm",
      outfile: `${name}.bundle.mjs`,
    });
  }
  writeFileSync(
    join(folder, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(
  name = "kit",
  worker = (modules = [(name = "kit.mjs", esModule = embed "worker.bundle.mjs")], compatibilityDate = "2026-01-01")
)]);
`,
  );
}

/** A program of that name somewhere below an installed package. */
function binary(installed, name) {
  const below = join(folder, "node_modules", installed);
  const found = readdirSync(below, { recursive: true }).find(
    (file) => [name, `${name}.exe`].includes(basename(file)) && !basename(file).endsWith(".md"),
  );
  return join(below, found);
}

function command(runtime, program, ...args) {
  const version = /\d+\.\d+\.\d+/.exec(execFileSync(program, ["--version"], { encoding: "utf8" }))[0];
  return { runtime, version, ...resultOf(program, [...args, "run.mjs"]) };
}

function workerd() {
  const program = binary("@cloudflare", "workerd");
  const version = readManifest("workerd").version;
  return { runtime: "workerd (edge)", version, ...resultOf(program, ["test", "config.capnp"]) };
}

/** A page, a worker of it, and a page whose policy lets no WebAssembly be compiled. */
async function browser() {
  const executablePath = "/usr/bin/chromium";
  if (!existsSync(executablePath)) return [];
  const started = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const code = readFileSync(join(folder, "kit.bundle.mjs"), "utf8");
  const files = { "/kit.js": code, "/worker.js": `${code}\npostMessage(await runKit());` };
  const visit = async (runtime, run, policy) => {
    const opened = await started.newPage();
    await opened.route("http://localhost/**", (route) => {
      const script = files[new URL(route.request().url()).pathname];
      return script === undefined
        ? route.fulfill({
            contentType: "text/html",
            body: "",
            headers: { "Content-Security-Policy": policy },
          })
        : route.fulfill({ contentType: "text/javascript", body: script });
    });
    await opened.goto("http://localhost/");
    const result = await opened.evaluate(run);
    await opened.close();
    return { runtime, version: started.version(), ...result };
  };
  const inPage = () => import(new URL("/kit.js", location.href).href).then(({ runKit }) => runKit());
  const inWorker = () =>
    new Promise((resolve, reject) => {
      const worker = new Worker("/worker.js", { type: "module" });
      worker.addEventListener("message", ({ data }) => resolve(data));
      worker.addEventListener("error", ({ message }) => reject(new Error(message)));
    });
  try {
    return [
      await visit("Chromium, page", inPage, ""),
      await visit("Chromium, worker", inWorker, ""),
      await visit("Chromium, policy without `wasm-unsafe-eval`", inPage, "script-src 'self'"),
    ];
  } finally {
    await started.close();
  }
}

function resultOf(program, args) {
  const output = execFileSync(program, args, {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return JSON.parse(output.split("\n").find((line) => line.startsWith("{")));
}

function readManifest(name) {
  return JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json"), "utf8"));
}

async function writeTable(results) {
  const rows = results.map(
    ({ runtime, version, passed, compiled }) =>
      `| ${runtime} | ${version} | ${passed} | ${compiled ? "WebAssembly" : "TypeScript"} |`,
  );
  const date = new Date().toISOString().slice(0, 10);
  const block = `<!-- runtimes: written by \`npm run runtimes\` -->

| runtime | version | tests of the kit, all passed | rules ran as |
| --- | --- | --: | --- |
${rows.join("\n")}

Run on ${date}, on ${process.platform} ${process.arch}.

<!-- /runtimes -->
`;
  const text = readFileSync(page, "utf8");
  if (!marked.test(text)) throw new Error(`${page} has lost its markers`);
  writeFileSync(
    page,
    await format(text.replace(marked, block), { ...(await resolveConfig(page)), filepath: page }),
  );
}
