// Declarations, as users' compilers see them: old and new, without skipLibCheck. Errors in other people's declarations are not held
// against ours.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
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

/** Names that not every project has. Declarations that speak of them are compiled where they are. */
const webgpu = {
  names: /\bGPU[A-Z]\w/,
  // TypeScript 6 put them into lib.dom.
  known: ({ version }, { lib, types }) =>
    types.includes("@webgpu/types") || (lib.includes("dom") && Number.parseInt(version) >= 6),
};
const blobs = {
  names: /\b(Blob|ReadableStream)\b/,
  known: (_, { lib, types }) => lib.includes("dom") || types.includes("node"),
};
const browser = { names: /\bFileSystem\w*Handle\b/, known: (_, { lib }) => lib.includes("dom") };

/** The surroundings of a project, and who gets them: everybody who can do with them, or those who need them. */
const surroundings = [
  { lib: ["es2022"], types: [] },
  { lib: ["es2022"], types: ["node"], need: blobs },
  { lib: ["es2022", "dom"], types: [] },
  { lib: ["es2022", "dom"], types: ["@webgpu/types"], need: webgpu },
];

/** Every entry point, with each compiler and in all surroundings that suit it. @returns {string[]} problems */
export function compilePackages({ folder }) {
  const entries = entryPoints().map((entry) => {
    const declarations = declarationsOf(join(folder, "node_modules", entry.types));
    return { ...entry, needs: [webgpu, blobs, browser].filter(({ names }) => names.test(declarations)) };
  });
  return compilers.flatMap((compiler) =>
    surroundings.flatMap((around) => {
      const suited = entries.filter(
        ({ needs }) =>
          needs.every(({ known }) => known(compiler, around)) &&
          (!around.need || needs.includes(around.need)),
      );
      if (suited.length === 0) return [];
      // One package at a time, so that none lives on a lib that another one refers to: with the compiler that is fast.
      const groups =
        compiler === compilers.at(-1)
          ? publishedPackages().map(({ folder }) =>
              suited.filter(({ built }) => built.startsWith(`${folder}/`)),
            )
          : [suited];
      return groups
        .filter((group) => group.length > 0)
        .flatMap((group) => {
          writeFileSync(join(folder, "all.ts"), importing(group));
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

/** A file's declarations and those of its package that it leads to, without their comments. */
function declarationsOf(file, seen = new Set()) {
  if (seen.has(file)) return "";
  seen.add(file);
  const text = readFileSync(file, "utf8").replace(/\/\*[^]*?\*\//g, "");
  const others = [...text.matchAll(/["'](\.[^"']*)\.[jt]s["']/g)].map(([, path]) =>
    declarationsOf(join(dirname(file), `${path}.d.ts`), seen),
  );
  return [text, ...others].join("\n");
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
    // JSON of a package is imported; before TypeScript 5.7 that has to be said.
    resolveJsonModule: true,
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
