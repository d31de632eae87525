// The project of a user: every published package from its tarball, and what they and their READMEs need beside them.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publishedPackages, root } from "../workspace.mjs";
import { programOf } from "./readme.mjs";

/**
 * @typedef {object} Program the first complete loop of a README
 * @property {string} name file name without its ending
 * @property {string} source
 * @property {boolean} browser it needs one to run
 *
 * @typedef {object} Project
 * @property {string} folder
 * @property {readonly Program[]} programs one of each README that has a complete one
 * @property {readonly string[]} thirdParty other people's packages in it
 * @property {Record<string, string>} tarballs what a user of ours would depend on, by name
 */

/** @returns {Project} */
export function createProject() {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "consumer-")));
  const packages = publishedPackages();
  const programs = packages.flatMap((published) => programOf(published) ?? []);
  const thirdParty = linksOf(packages, programs);
  const tarballs = Object.fromEntries(packages.map((published) => [published.name, pack(published, folder)]));
  const links = Object.fromEntries([...thirdParty].map(([name, target]) => [name, linkTo(target)]));
  install(folder, {
    private: true,
    type: "module",
    dependencies: { ...tarballs, ...links },
    // Their dependencies are not on a registry yet.
    pnpm: { overrides: tarballs },
  });
  mkdirSync(join(folder, "programs"));
  for (const { name, source } of programs) writeFileSync(join(folder, "programs", `${name}.ts`), source);
  return { folder, programs, thirdParty: [...thirdParty.keys()], tarballs };
}

/** Installs what a package.json says, which must be there already: no registry is asked. */
export function install(folder, manifest) {
  writeJson(join(folder, "package.json"), manifest);
  execFileSync("pnpm", ["install", "--offline", "--ignore-workspace", "--reporter", "silent"], {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit"],
  });
}

/** Depends on what is in the workspace's own store. */
export const linkTo = (target) => `link:${realpathSync(target)}`;

/** @returns {string} the dependency that a user would have */
function pack({ folder }, to) {
  const packed = execFileSync("pnpm", ["pack", "--json", "--pack-destination", to], {
    cwd: join(root, folder),
    encoding: "utf8",
  });
  return `file:${JSON.parse(packed).filename}`;
}

/** Where other people's packages stand in the workspace, by name: peers, dependencies, what programs import, and types of hosts. */
function linksOf(packages, programs) {
  const ours = new Set(packages.map(({ name }) => name));
  const wanted = [
    ...packages.flatMap((each) => Object.keys({ ...each.dependencies, ...each.peerDependencies })),
    ...programs.flatMap(({ imports }) => imports),
    "@types/node",
    "@webgpu/types",
  ].filter((name) => !ours.has(name) && !name.startsWith("node:"));
  const places = [...packages.map(({ folder }) => folder), "scripts/consumer", "site"];
  return new Map(
    wanted.map((name) => {
      const folder = places.find((place) => existsSync(join(root, place, "node_modules", name)));
      if (folder === undefined) throw new Error(`${name} is not installed in ${places.join(", ")}`);
      return [name, join(root, folder, "node_modules", name)];
    }),
  );
}

/** Bytes of a tarball at most: somebody who tests a backend installs the kit, and nothing that other people's tests need. */
const largest = { "@mm/optim-conformance": 110_000 };

/** Checks the contents of every tarball. @returns {string[]} problems */
export function checkContents({ folder, tarballs }) {
  return publishedPackages().flatMap(({ name, exports = {}, bin = {} }) => {
    const installed = join(folder, "node_modules", name);
    const targets = Object.values(exports).flatMap((target) =>
      typeof target === "string" ? target : Object.values(target),
    );
    const files = ["LICENSE", "README.md", ...targets, ...Object.values(bin)];
    const missing = files.filter((file) => !file.includes("*") && !existsSync(join(installed, file)));
    const problems = missing.map((file) => `${name}: the tarball has no ${file}`);
    if (/workspace:|catalog:/.test(readFileSync(join(installed, "package.json"), "utf8"))) {
      problems.push(`${name}: the packed package.json still has a workspace: or catalog: range`);
    }
    const { size } = statSync(tarballs[name].slice("file:".length));
    if (size > largest[name])
      problems.push(`${name}: the tarball has ${size} bytes, more than ${largest[name]}`);
    return problems;
  });
}

export const writeJson = (file, value) => writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`);
