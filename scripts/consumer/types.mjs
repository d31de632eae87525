// Declarations, as users' compilers see them: old and new, without skipLibCheck. What is wrong in other people's declarations is not held
// against ours.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { entryPoints, publishedPackages } from "../workspace.mjs";
import { writeJson } from "./project.mjs";

const { resolve } = createRequire(import.meta.url);

/** The oldest that the declarations are written for, the last one in JavaScript, and the present one. */
const compilers = ["typescript-5.4", "typescript-5.9", "typescript"].map((name) => {
  const manifest = resolve(`${name}/package.json`);
  const { version } = JSON.parse(readFileSync(manifest, "utf8"));
  return { version, command: join(dirname(manifest), "bin/tsc") };
});

/** What a project may have of its surroundings. */
const surroundings = [
  { lib: ["es2022"], types: [] },
  { lib: ["es2022"], types: ["node"] },
  { lib: ["es2022", "dom"], types: [] },
  { lib: ["es2022", "dom"], types: ["@webgpu/types"] },
];

/** Names that not every project has. Declarations that speak of them are compiled where they are. */
const hostNames = [
  {
    names: /\bGPU[A-Z]\w/,
    // TypeScript 6 put them into lib.dom.
    known: ({ version }, { lib, types }) =>
      types.includes("@webgpu/types") || (lib.includes("dom") && Number.parseInt(version) >= 6),
  },
  {
    names: /\b(Blob|ReadableStream)\b/,
    known: (_, { lib, types }) => lib.includes("dom") || types.includes("node"),
  },
];

/** Every entry point, with each compiler and in all surroundings that have what its package speaks of. @returns {string[]} problems */
export function compilePackages({ folder }) {
  const packages = publishedPackages().map((each) => ({
    entries: entryPoints().filter(({ built }) => built.startsWith(`${each.folder}/`)),
    needs: hostNames.filter(({ names }) => names.test(declarationsOf(folder, each.name))),
  }));
  return compilers.flatMap((compiler) =>
    surroundings.flatMap((around) => {
      const fit = packages.filter(
        ({ entries, needs }) => entries.length > 0 && needs.every(({ known }) => known(compiler, around)),
      );
      const groups = fit.map(({ entries }) => entries);
      // One package at a time, so that none lives on a lib that another one refers to: with the compiler that is fast.
      return (compiler === compilers.at(-1) ? groups : [groups.flat()]).flatMap((entries) => {
        writeFileSync(join(folder, "all.ts"), importing(entries));
        return compile(folder, compiler, around, ["all.ts"]);
      });
    }),
  );
}

function importing(entries) {
  const names = entries.map((_, index) => `m${index}`);
  const imports = entries.map(({ specifier }, index) => `import * as ${names[index]} from "${specifier}";`);
  return `${imports.join("\n")}\nexport const all: readonly object[] = [${names.join(", ")}];\n`;
}

/** All of a package's declarations, without their comments. */
function declarationsOf(folder, name) {
  const dist = join(folder, "node_modules", name, "dist");
  return (existsSync(dist) ? readdirSync(dist, { recursive: true }) : [])
    .filter((file) => file.endsWith(".d.ts"))
    .map((file) => readFileSync(join(dist, file), "utf8").replace(/\/\*[^]*?\*\//g, ""))
    .join("\n");
}

/** The programs of the READMEs. @returns {string[]} problems */
export function compilePrograms({ folder, programs }) {
  const files = programs.map(({ name }) => `programs/${name}.ts`);
  const surroundings = { lib: ["es2022", "dom"], types: ["node", "@webgpu/types"] };
  return compilers.flatMap((compiler) => compile(folder, compiler, surroundings, files));
}

function compile(folder, { version, command }, { lib, types }, files) {
  const compilerOptions = {
    target: "es2022",
    lib,
    types,
    module: "nodenext",
    moduleDetection: "force",
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false,
  };
  writeJson(join(folder, "tsconfig.json"), { compilerOptions, files });
  const { status, stdout } = spawnSync(process.execPath, [command, "-p", ".", "--pretty", "false"], {
    cwd: folder,
    encoding: "utf8",
  });
  const errors = stdout.split("\n").filter((line) => line.includes("error TS"));
  const ours = errors.filter((line) => !line.startsWith("../"));
  const where = `TypeScript ${version}, lib ${lib.join(" ")}, types ${types.join(" ") || "none"}`;
  if (ours.length > 0) return [`a consumer does not compile (${where}):\n${ours.join("\n")}`];
  return status !== 0 && errors.length === 0 ? [`tsc ended with ${status} (${where}): ${stdout}`] : [];
}
