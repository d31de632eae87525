// What nobody uses must not reach a bundle: an entry point that is imported for nothing leaves nothing behind.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { entryPoints } from "../workspace.mjs";
import { bundlers } from "./bundle.mjs";

/** @returns {Promise<string[]>} problems */
export async function checkShaking({ folder, thirdParty }) {
  const problems = [];
  for (const { specifier } of entryPoints()) {
    writeFileSync(join(folder, "unused.mjs"), `import * as unused from "${specifier}";\n`);
    for (const [bundler, bundle] of Object.entries(bundlers)) {
      const rest = (await bundle({ folder, input: "unused.mjs", external: thirdParty })).trim();
      if (rest !== "") problems.push(`${specifier}: ${bundler} cannot drop\n${rest.slice(0, 1000)}`);
    }
  }
  return problems;
}
