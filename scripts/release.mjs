// Publishes every package whose version is not on the registry yet. `npm run release:check -- --publish` has to have passed.
//
//   npm run release                  with provenance, from the workflow of releases
//   npm run release -- --by-hand     without provenance: the first version of a package, which has no settings yet
//   npm run release -- --dry-run     says what it would publish
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { publishedPackages, root } from "./workspace.mjs";

const { values } = parseArgs({ options: { "by-hand": { type: "boolean" }, "dry-run": { type: "boolean" } } });

const folder = mkdtempSync(join(tmpdir(), "publish-"));
try {
  execFileSync(process.execPath, [join(root, "scripts/tarballs.mjs"), folder], { stdio: "inherit" });
  for (const { name, version, folder: source } of publishedPackages()) {
    if (isPublished(`${name}@${version}`)) console.log(`${name}@${version} is there already`);
    else publish(name, version, join(folder, `${basename(source)}.tgz`));
  }
} finally {
  rmSync(folder, { recursive: true });
}

function isPublished(spec) {
  const { status, stdout } = spawnSync("npm", ["view", spec, "version"], { encoding: "utf8" });
  return status === 0 && stdout.trim() !== "";
}

function publish(name, version, tarball) {
  const options = [
    ...(values["by-hand"] ? [] : ["--provenance"]),
    ...(values["dry-run"] ? ["--dry-run"] : []),
  ];
  execFileSync("npm", ["publish", tarball, "--access", "public", ...options], { stdio: "inherit" });
  // The action that runs this makes a tag and a release of each such line.
  if (!values["dry-run"]) console.log(`New tag: ${name}@${version}`);
}
