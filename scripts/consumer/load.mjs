import { spawnSync } from "node:child_process";
import { entryPoints } from "../workspace.mjs";

/** Every entry point, by `import` and by `require`. @returns {string[]} problems */
export function load({ folder }) {
  return entryPoints().flatMap(({ specifier }) =>
    [
      ["--input-type=module", `await import("${specifier}");`],
      ["--input-type=commonjs", `require("${specifier}");`],
    ].flatMap(([type, source]) => {
      const { status, stderr } = spawnSync(process.execPath, ["--no-warnings", type, "--eval", source], {
        cwd: folder,
        encoding: "utf8",
      });
      return status === 0 ? [] : [`${source}\n${stderr}`];
    }),
  );
}
