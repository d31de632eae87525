// Which file stands behind each `@mm/optim-*` import while tests run: the source, so that no build is needed, or, to
// test what gets published, the built file.
import { join } from "node:path";
import { entryPoints, root } from "./workspace.mjs";

/**
 * @param {"source" | "built"} stage
 * @returns {{ find: RegExp, replacement: string }[]} one exact alias for each entry point, as Vite takes them
 */
export const aliases = (stage) =>
  entryPoints().map((entry) => ({
    find: new RegExp(`^${escapeRegExp(entry.specifier)}$`),
    replacement: join(root, entry[stage]),
  }));

const escapeRegExp = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

/** The sources of examples, for pages that need no build of them. */
export const exampleAliases = [
  { find: /^@mm-examples\/([^/]+)\/(.*)$/, replacement: join(root, "examples/$1/src/$2.ts") },
  { find: /^@mm-examples\/([^/]+)$/, replacement: join(root, "examples/$1/src/index.ts") },
];
