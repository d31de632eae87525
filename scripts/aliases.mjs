// Which source file stands behind each `@mm/optim-*` import, read off the packages' exports maps, so that tests run
// without a build and a new subpath needs no entry anywhere else.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const root = new URL("..", import.meta.url).pathname;

/** @returns {{ find: RegExp, replacement: string }[]} one exact alias for each entry point, as Vite takes them */
export function sourceAliases() {
  return readdirSync(join(root, "packages")).flatMap((folder) => {
    const file = join(root, "packages", folder, "package.json");
    if (!existsSync(file)) return [];
    const { name, exports = {} } = JSON.parse(readFileSync(file, "utf8"));
    return Object.entries(exports)
      .filter(([, target]) => typeof target === "object" && target.default?.endsWith(".js"))
      .map(([subpath, target]) => ({
        find: new RegExp(`^${escape(name + subpath.slice(1))}$`),
        replacement: join(root, "packages", folder, target.default.replace(/^\.\/dist\//, "src/").replace(/\.js$/, ".ts")),
      }));
  });
}

const escape = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
