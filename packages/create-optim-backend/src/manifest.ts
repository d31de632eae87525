import { readFileSync } from "node:fs";
import type { Host, Names } from "./names.ts";

const core = "@mm/optim-core";

/** The new package's package.json. It is built and tested with the versions that this package was. */
export function manifestOf({ name, host }: Names, library: Host | undefined): object {
  const { [core]: coreRange, ...tools } = ownDevDependencies();
  return {
    name,
    version: "0.0.0",
    description: `Optimizer wrappers over ${library?.name ?? host}`,
    keywords: ["optimizer", "mm-optim-backend", host],
    files: ["dist", "!dist/**/*.tsbuildinfo", "src"],
    type: "module",
    sideEffects: false,
    exports: { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } },
    publishConfig: { access: "public", provenance: true },
    scripts: {
      build: "tsc",
      test: "tsc -p test && vitest run",
      prepublishOnly: "npm run build && npm test && publint --strict .",
    },
    dependencies: { [core]: coreRange },
    devDependencies: sorted({ ...tools, ...(library && { [library.name]: library.range }) }),
    ...(library && { peerDependencies: { [library.name]: library.range } }),
    engines: { node: ">=20.19" },
  };
}

function ownDevDependencies(): { readonly [name: string]: string } {
  const { devDependencies } = JSON.parse(
    readFileSync(new URL("../package.json", import.meta.url), "utf8"),
  ) as { readonly devDependencies: { readonly [name: string]: string } };
  return Object.fromEntries(
    Object.entries(devDependencies).map(([name, range]) => [name, /^\d/.test(range) ? `^${range}` : range]),
  );
}

const sorted = (record: { readonly [name: string]: string }): object =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
