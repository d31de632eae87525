// Stands where a user stands: packs every published package, unpacks the tarballs side by side, and there compiles
// against, imports and requires every entry point. Catches what a workspace hides: files left out of a tarball,
// declarations that only compile with our own settings, imports that resolve only here.
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { entryPoints, publishedPackages, root } from "./workspace.mjs";

const place = mkdtempSync(join(tmpdir(), "consumer-"));
try {
  for (const published of publishedPackages()) install(published);
  writeFileSync(join(place, "package.json"), JSON.stringify({ type: "module" }));
  for (const { folder } of publishedPackages()) {
    compile(entryPoints().filter(({ built }) => built.startsWith(`${folder}/`)));
  }
  load(entryPoints());
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(place, { recursive: true });
}

/** Unpacks one package as npm would; dependencies that are not ours are linked. */
function install({ folder, name, dependencies, peerDependencies }) {
  const packed = execFileSync("pnpm", ["pack", "--json", "--pack-destination", place], {
    cwd: join(root, folder),
    encoding: "utf8",
  });
  const to = join(place, "node_modules", name);
  mkdirSync(to, { recursive: true });
  execFileSync("tar", ["-xzf", JSON.parse(packed).filename, "-C", to, "--strip-components=1"]);
  for (const file of ["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts"]) {
    if (!existsSync(join(to, file))) throw new Error(`${name}: the tarball has no ${file}`);
  }
  if (/workspace:|catalog:/.test(readFileSync(join(to, "package.json"), "utf8"))) {
    throw new Error(`${name}: the packed package.json still has a workspace: or catalog: range`);
  }
  const ours = new Set(publishedPackages().map((other) => other.name));
  for (const other of Object.keys({ ...dependencies, ...peerDependencies })) {
    if (ours.has(other)) continue;
    const link = join(place, "node_modules", other);
    mkdirSync(dirname(link), { recursive: true });
    if (!existsSync(link)) symlinkSync(realpathSync(join(root, folder, "node_modules", other)), link);
  }
}

/**
 * With the strictest settings a user may have: no skipLibCheck, lib es2022. One package at a time, so that none lives
 * on a lib that another one refers to. What is wrong in other people's declarations is not held against ours.
 */
function compile(entries) {
  const names = entries.map((_, index) => `m${index}`);
  const imports = entries.map(({ specifier }, index) => `import * as ${names[index]} from "${specifier}";`);
  writeFileSync(
    join(place, "consumer.ts"),
    `${imports.join("\n")}\nexport const all: readonly object[] = [${names.join(", ")}];\n`,
  );
  const compilerOptions = {
    target: "es2022",
    lib: ["es2022", "dom"],
    types: [],
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false,
  };
  writeFileSync(join(place, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
  const { status, stdout } = spawnSync("tsc", ["-p", ".", "--pretty", "false"], {
    cwd: place,
    encoding: "utf8",
  });
  const errors = (stdout ?? "").split("\n").filter((line) => line.includes("error TS"));
  const ours = errors.filter((line) => !line.startsWith("../"));
  if (ours.length > 0) throw new Error(`a consumer does not compile:\n${ours.join("\n")}`);
  if (status !== 0 && errors.length === 0) throw new Error(`tsc ended with ${status}: ${stdout}`);
}

function load(entries) {
  const specifiers = JSON.stringify(entries.map(({ specifier }) => specifier));
  for (const [file, source] of [
    ["import.mjs", `for (const name of ${specifiers}) await import(name);`],
    ["require.cjs", `for (const name of ${specifiers}) require(name);`],
  ]) {
    writeFileSync(join(place, file), source);
    execFileSync("node", ["--no-warnings", join(place, file)], { stdio: "inherit" });
  }
}
