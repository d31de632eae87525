import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { manifestOf } from "./manifest.ts";
import { hostOf, namesOf, renamed } from "./names.ts";
import { UsageError } from "./usage-error.ts";

export interface BackendOptions {
  /** The package's name. Default: the name of the folder. */
  readonly name?: string | undefined;
  /** `"@jax-js/jax@^0.1.25"`: the library that it is a backend for, and the versions of it. */
  readonly host?: string | undefined;
}

export interface CreatedBackend {
  readonly name: string;
  /** Relative to the folder, sorted. */
  readonly files: readonly string[];
}

const template = fileURLToPath(new URL("../template", import.meta.url));

/**
 * Writes a package into a folder that is new or empty. Nothing is written where something is wrong.
 *
 * @throws UsageError
 */
export function createBackend(folder: string, options: BackendOptions = {}): CreatedBackend {
  const names = namesOf(options.name ?? basename(resolve(folder)));
  const manifest = manifestOf(names, options.host === undefined ? undefined : hostOf(options.host));
  const files = new Map([["package.json", `${JSON.stringify(manifest, undefined, 2)}\n`]]);
  for (const file of filesIn(template)) {
    files.set(published(renamed(file, names)), renamed(readFileSync(join(template, file), "utf8"), names));
  }
  if (!isNewOrEmpty(folder)) throw new UsageError(`${folder} is not empty`);
  for (const [file, text] of files) {
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return { name: names.name, files: [...files.keys()].sort() };
}

/** npm leaves some files out of packages: in the template they have no dot. */
function published(file: string): string {
  return file.replace(/^(gitignore|github)\b/, ".$1");
}

function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

function isNewOrEmpty(folder: string): boolean {
  try {
    return readdirSync(folder).length === 0;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return true;
    if (code === "ENOTDIR") return false;
    throw error;
  }
}
