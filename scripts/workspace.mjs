// The parts of the workspace, read off the disk: other scripts hand-list nothing.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

const readJson = (file) => JSON.parse(readFileSync(join(root, file), "utf8"));

/** Folders below `parent` that hold a package.json, relative to the root. */
const packagesIn = (parent) =>
  (existsSync(join(root, parent)) ? readdirSync(join(root, parent)).sort() : [])
    .map((folder) => `${parent}/${folder}`)
    .filter((folder) => existsSync(join(root, folder, "package.json")));

/** Every package.json of the workspace, relative to the root; the root's own comes first. */
export const manifestFiles = () =>
  [".", ...packagesIn("packages"), ...packagesIn("examples"), "bench", "scripts/consumer", "site"].map(
    (folder) => join(folder, "package.json"),
  );

/** The packages that get published: `folder` relative to the root, and what package.json says. */
export const publishedPackages = () =>
  packagesIn("packages").map((folder) => ({ folder, ...readJson(`${folder}/package.json`) }));

/** Each JavaScript entry point of a published package: the import, the built file, its source file, and its types where it is installed. */
export const entryPoints = () =>
  publishedPackages().flatMap(({ folder, name, exports = {} }) =>
    Object.entries(exports)
      .filter(([, target]) => target.default?.endsWith(".js"))
      .map(([subpath, target]) => {
        const built = join(folder, target.default);
        return {
          specifier: name + subpath.slice(1),
          built,
          source: built.replace("/dist/", "/src/").replace(/\.js$/, ".ts"),
          types: join(name, target.types),
        };
      }),
  );
