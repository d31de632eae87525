import { readdirSync, readFileSync } from "node:fs";
import { type GoldenFile, parseGoldenFile } from "../src/index.ts";

const folder = new URL("../golden/", import.meta.url);

/** The recordings of this package, by file name. */
export const fixtures: ReadonlyMap<string, GoldenFile> = new Map(
  readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => [name, parseGoldenFile(JSON.parse(readFileSync(new URL(name, folder), "utf8")))]),
);
