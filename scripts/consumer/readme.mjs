// The program that a README begins with.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../workspace.mjs";

/** @returns {import("./project.mjs").Program & { imports: string[] } | undefined} */
export function programOf({ folder }) {
  const program = programIn(readFileSync(join(root, folder, "README.md"), "utf8"));
  return program && { name: folder.split("/").at(-1), ...program };
}

/** The first block of TypeScript that needs nothing but what it imports. */
export function programIn(readme) {
  for (const [, meta, source] of readme.matchAll(/^```ts *(.*)\n([^]*?)^```$/gm)) {
    if (/with=|from=|continued|throws=/.test(meta)) continue;
    const specifiers = [...source.matchAll(/^import [^"]*"([^".][^"]*)";/gm)].map(
      ([, specifier]) => specifier,
    );
    return {
      source,
      browser: meta.includes("browser"),
      imports: specifiers.map((specifier) => /^(@[^/]+\/)?[^/]+/.exec(specifier)[0]),
    };
  }
  return undefined;
}
