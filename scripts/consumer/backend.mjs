// The output of `npm create @mm/optim-backend` is installed, built, tested and run, as its author would.
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { publishedPackages, root } from "../workspace.mjs";
import { install, linkTo } from "./project.mjs";
import { transformed } from "./programs.mjs";
import { programIn } from "./readme.mjs";

const creator = "@mm/create-optim-backend";

/** @returns {Promise<string[]>} problems */
export async function createBackend({ folder, tarballs }) {
  const name = "@you/optim-tiny";
  const backend = join(folder, "optim-tiny");
  execFileSync(join(folder, "node_modules/.bin/create-optim-backend"), [backend, "--name", name]);

  const manifest = JSON.parse(readFileSync(join(backend, "package.json"), "utf8"));
  const { folder: source } = publishedPackages().find((each) => each.name === creator);
  const tools = Object.keys(manifest.devDependencies).filter((tool) => !(tool in tarballs));
  const links = tools.map((tool) => [tool, linkTo(join(root, source, "node_modules", tool))]);
  install(backend, { ...manifest, pnpm: { overrides: { ...tarballs, ...Object.fromEntries(links) } } });

  const readme = programIn(readFileSync(join(backend, "README.md"), "utf8"));
  const commands = [
    ["pnpm", "run", "build"],
    ["pnpm", "test"],
    ["pnpm", "exec", "publint", "--strict", "."],
    [process.execPath, "--input-type=module", "--eval", await transformed(readme.source)],
  ];
  for (const [command, ...args] of commands) {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd: backend, encoding: "utf8" });
    if (status !== 0) return [`${name}: ${command} ${args.join(" ")} fails\n${stdout}${stderr}`];
    const passed = /tiny: \d+ passed, .*/.exec(stdout);
    if (passed) console.log(`a backend that ${creator} made: ${passed[0]}`);
  }
  return [];
}
