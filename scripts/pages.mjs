// The face of a package on npm: its README stands alone and says how large it is, its package.json can be found.
//
//   node scripts/pages.mjs                              checks
//   node scripts/pages.mjs --write                      measures, and writes the sizes into the READMEs
//   node scripts/pages.mjs --write packages/optim-core  … of one package
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { format, resolveConfig } from "prettier";
import { entryPoints, publishedPackages, root } from "./workspace.mjs";

const { values, positionals } = parseArgs({
  options: { write: { type: "boolean" } },
  allowPositionals: true,
});

const marked = /<!-- sizes: [^]*<!-- \/sizes -->\n/;

const problems = [];
for (const published of publishedPackages()) {
  const { name, folder } = published;
  if (positionals.length > 0 && !positionals.includes(folder)) continue;
  const file = join(root, folder, "README.md");
  const measured = await measure(folder);
  if (values.write && measured.length > 0) await writeSizes(file, measured);
  const readme = readFileSync(file, "utf8");
  const found = [
    ...manifestProblems(published),
    ...readmeProblems(published, readme),
    ...sizeProblems(readme, measured),
  ];
  problems.push(...found.map((problem) => `${name}: ${problem}`));
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exitCode = 1;
}

function manifestProblems(manifest) {
  const wanted = {
    license: "Apache-2.0",
    type: "module",
    "publishConfig.access": "public",
    sideEffects: false,
  };
  const problems = Object.entries(wanted)
    .filter(([key, value]) => key.split(".").reduce((object, part) => object?.[part], manifest) !== value)
    .map(([key, value]) => `package.json: ${key} is not ${JSON.stringify(value)}`);
  const { keywords = [], description, engines, files = [] } = manifest;
  if (!keywords.includes("optimizer") || keywords.length < 4)
    problems.push('package.json: keywords are "optimizer" and at least three more');
  if (!description) problems.push("package.json: no description");
  if (!engines?.node) problems.push("package.json: engines does not say which Node");
  if (files.length === 0) problems.push("package.json: files does not say what is published");
  return problems;
}

/** A name, one sentence, an install line, and soon a program. */
function readmeProblems({ name, folder }, readme) {
  const [beginning] = readme.split(/^## /m);
  const [title, sentence] = beginning.split(/\n\n+/);
  const problems = [];
  if (title !== `# ${name}`) problems.push("README: the title is not the name");
  if (!/^[A-Z][^]*[.:]$/.test(sentence ?? "")) problems.push("README: no sentence after the title");
  const command = name.includes("/create-") ? `npm create ${name.replace("/create-", "/")}` : `npm install`;
  if (!beginning.includes(command) || !(beginning.includes(` ${name}`) || name.includes("/create-")))
    problems.push(`README: no line with ${command}`);
  const hasEntries = entryPoints().some(({ built }) => built.startsWith(`${folder}/`));
  const top = readme.split("\n").slice(0, 20);
  if (hasEntries && !top.some((line) => line.startsWith("```ts")))
    problems.push("README: no program within the first 20 lines");
  const packages = readFileSync(join(root, "README.md"), "utf8");
  if (!packages.includes(`(${folder})`)) problems.push("not in the table of the root's README");
  return problems;
}

/** Within 5 %, so that not every change of code is one of a README. */
function sizeProblems(readme, measured) {
  const [block = ""] = marked.exec(readme) ?? [];
  const stated = [...block.matchAll(/^\| `(.+)` +\| +([\d.]+) kB \| +([\d.]+) kB \|$/gm)].map(
    ([, specifier, ...sizes]) => ({ specifier, sizes: sizes.map(Number) }),
  );
  const close = ({ specifier, sizes }) =>
    stated.some(
      (each) =>
        each.specifier === specifier &&
        sizes.every((size, index) => Math.abs(each.sizes[index] - size) <= 0.05 * size + 0.05),
    );
  if (stated.length === measured.length && measured.every(close)) return [];
  return ["README: its sizes are not those measured; npx pnpm sizes writes them"];
}

async function writeSizes(file, measured) {
  const readme = readFileSync(file, "utf8");
  const rows = measured.map(
    ({ specifier, sizes }) =>
      `| \`${specifier}\` | ${sizes.map((size) => `${size.toFixed(1)} kB`).join(" | ")} |`,
  );
  const block = `<!-- sizes: written by \`npx pnpm sizes\` -->

| import | alone | with what it brings |
| --- | --: | --: |
${rows.join("\n")}

Minified and gzipped, with all that is exported; a bundle takes what it uses. "With what it brings" counts the \`@mm\` packages it depends on,
and nobody else's.

<!-- /sizes -->
`;
  const text = marked.test(readme) ? readme.replace(marked, block) : `${readme}\n## Size\n\n${block}`;
  writeFileSync(file, await format(text, { ...(await resolveConfig(file)), filepath: file }));
}

/** kB (1000 bytes) of each entry point: without and with our packages that it imports. */
async function measure(folder) {
  const entries = entryPoints().filter(({ built }) => built.startsWith(`${folder}/`));
  const packages = publishedPackages();
  const ours = packages.map(({ name }) => name);
  const others = packages
    .flatMap((each) => Object.keys({ ...each.dependencies, ...each.peerDependencies }))
    .filter((name) => !ours.includes(name));
  return Promise.all(
    entries.map(async ({ specifier, built }) => ({
      specifier,
      sizes: await Promise.all([sizeOf(built, [...ours, ...others]), sizeOf(built, others)]),
    })),
  );
}

async function sizeOf(entry, external) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    external: ["node:*", ...external],
    logLevel: "error",
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length / 1000;
}
