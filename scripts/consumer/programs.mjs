// The programs of the READMEs: run as they are and from both bundlers, with the same output, and measured.
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { transform } from "esbuild";
import { bundlers } from "./bundle.mjs";

/** Prints the sizes. @returns {Promise<string[]>} problems */
export async function runPrograms({ folder, programs, thirdParty }) {
  const problems = [];
  for (const { name, source, browser } of programs) {
    const sizes = [];
    const outputs = browser ? [] : [run(folder, name, "plain", await transformed(source))];
    for (const [bundler, bundle] of Object.entries(bundlers)) {
      const bundled = await bundle({ folder, input: `programs/${name}.ts`, external: thirdParty });
      sizes.push(`${bundler} ${(gzipSync(bundled, { level: 9 }).length / 1000).toFixed(1)} kB`);
      if (!browser) outputs.push(run(folder, name, bundler, bundled));
    }
    const failed = outputs.find(({ status }) => status !== 0);
    if (failed) problems.push(`${failed.file} fails\n${failed.stderr}`);
    const different = outputs.find(({ stdout }) => stdout !== outputs[0].stdout);
    if (different) problems.push(`${different.file} prints something else than ${outputs[0].file}`);
    console.log(`program of ${name}'s README: ${sizes.join(", ")}; ${browser ? "built" : "built and run"}`);
  }
  return problems;
}

/** As JavaScript. */
export async function transformed(source) {
  // Node reads JSON by an import attribute, which es2022 does not have yet.
  const supported = { "import-attributes": true };
  return (await transform(source, { loader: "ts", format: "esm", target: "es2022", supported })).code;
}

function run(folder, name, how, code) {
  mkdirSync(join(folder, how), { recursive: true });
  const file = join(how, `${name}.mjs`);
  writeFileSync(join(folder, file), code);
  // Each in a folder of its own: what one program saves is not there for another.
  const cwd = join(folder, "runs-of", how, name);
  mkdirSync(cwd, { recursive: true });
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--no-warnings", join(folder, file)], {
    cwd,
    encoding: "utf8",
  });
  return { file, status, stdout, stderr };
}
