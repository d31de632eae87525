import { readdirSync, readFileSync } from "node:fs";
import { type GoldenFile, parseGoldenFile } from "../src/index.ts";
import type { ModernCase } from "../src/modern/format.ts";
import { reasonToSkip } from "../src/modern/skipped.ts";

const folder = new URL("../golden/", import.meta.url);

/** The recordings of other libraries' optimizers that our rules follow. */
function modern(): GoldenFile {
  const file = parseGoldenFile(JSON.parse(readFileSync(new URL("modern/optimizers.json", folder), "utf8")));
  const cases = file.cases.filter((recorded) => reasonToSkip(recorded as ModernCase) === undefined);
  return { ...file, cases };
}

/** The recordings of this package, by file name. */
export const fixtures: ReadonlyMap<string, GoldenFile> = new Map(
  readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => [name, parseGoldenFile(JSON.parse(readFileSync(new URL(name, folder), "utf8")))]),
);

/** Everything that a backend is held to. */
export const everyFixture: readonly GoldenFile[] = [...fixtures.values(), modern()];
