// Unused code must not reach a bundle: an entry point that is imported for nothing leaves nothing behind, and who takes the smallest of
// its exports does not get the rest.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { entryPoints } from "../workspace.mjs";
import { bundlers } from "./bundle.mjs";

/** @returns {Promise<string[]>} problems */
export async function checkShaking({ folder, thirdParty }) {
  const problems = [];
  const bundled = (bundler, source) => {
    writeFileSync(join(folder, "shaken.mjs"), source);
    return bundlers[bundler]({ folder, input: "shaken.mjs", external: thirdParty });
  };
  for (const { specifier } of entryPoints()) {
    const usingAll = (names) => `import { ${names} } from "${specifier}"; globalThis.used = [${names}];`;
    const using = (name) => usingAll([name]);
    const all = `import * as all from "${specifier}"; globalThis.used = all;`;
    const sizes = [];
    for (const name of exportsOf(folder, specifier)) {
      sizes.push({ name, size: (await bundled("esbuild", using(name))).length });
    }
    const [smallest] = sizes.sort((a, b) => a.size - b.size);
    for (const bundler of Object.keys(bundlers)) {
      const kept = (await bundled(bundler, `import * as unused from "${specifier}";`)).trim();
      if (kept !== "") problems.push(`${specifier}: ${bundler} cannot drop\n${kept.slice(0, 1000)}`);
      if (sizes.length < 2) continue;
      const others = sizes.slice(1).map(({ name }) => name);
      const part = (await bundled(bundler, using(smallest.name))).length;
      const rest = (await bundled(bundler, usingAll(others))).length;
      const whole = (await bundled(bundler, all)).length;
      // Two exports of one size that have little in common keep more than half, too.
      const shared = part + rest - whole;
      if (part > whole / 2 && shared > part / 2)
        problems.push(`${specifier}: with ${smallest.name} alone ${bundler} keeps ${part} of ${whole} bytes`);
    }
  }
  return problems;
}

function exportsOf(folder, specifier) {
  const source = `console.log(JSON.stringify(Object.keys(await import("${specifier}"))));`;
  return JSON.parse(
    execFileSync(process.execPath, ["--no-warnings", "--input-type=module", "--eval", source], {
      cwd: folder,
    }),
  );
}
