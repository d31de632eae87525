// Takes the code blocks out of the documentation, so that they can be compiled and run. The needs of a block stand behind its language;
// `markers` is the whole list.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { visit } from "unist-util-visit";
import { root } from "../scripts/workspace.mjs";
import { markdownFiles, parse, readPage } from "./markdown.mjs";

/** A `ts` block without a marker is a program: it is compiled and run on Node. */
export const markers = {
  continued: "goes on where the block before it ended; both are one program",
  "with=NAME": "takes names that it does not declare from site/snippets/NAME.ts",
  "from=PATH": "stands in that file of the repository, line for line, and is compiled and tested there",
  "throws=CODE": "ends with an OptimError of this code",
  browser: "runs in Chromium, which has WebGPU, and not on Node",
};

/** Languages of blocks that are no TypeScript. Nothing of them is checked, so code may not hide there. */
const otherLanguages = new Set(["sh", "bash", "json", "jsonc", "text", "html", "py", "yaml", "wgsl"]);

const folder = fileURLToPath(new URL(".snippets", import.meta.url));
const contexts = fileURLToPath(new URL("snippets", import.meta.url));

/**
 * @typedef {object} Snippet a program made of one block or several
 * @property {string} where page and line of its first block
 * @property {string} file where it was written to, relative to the root
 * @property {boolean} browser
 * @property {string | undefined} context relative to the root
 * @property {string | undefined} throws
 */

/** @returns {{ snippets: Snippet[], used: string[], problems: string[] }} `used`: the markers of all blocks */
export function extractSnippets() {
  const programs = [];
  const problems = [];
  const used = [];
  for (const page of markdownFiles()) {
    for (const block of blocksOf(page)) {
      const problem = refusal(block);
      used.push(...block.markers);
      if (problem) problems.push(`${block.where}: ${problem}`);
      else if (block.lang !== "ts") continue;
      else if (block.from) problems.push(...differences(block));
      else if (!block.continued) programs.push({ ...block, blocks: [block] });
      else {
        const before = programs.at(-1);
        if (before?.page === page) before.blocks.push(block);
        else problems.push(`${block.where}: there is no block that it could continue`);
      }
    }
  }
  const snippets = programs.map(write);
  removeOthers(new Set(snippets.map(({ file }) => join(root, file))));
  return { snippets, used, problems };
}

function blocksOf(page) {
  const blocks = [];
  visit(parse(readPage(page)), "code", ({ lang, meta, value, position }) => {
    const words = meta?.split(/\s+/) ?? [];
    const valueOf = (key) => words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);
    blocks.push({
      page,
      lang,
      value,
      line: position.start.line + 1,
      where: `${page}:${position.start.line}`,
      markers: words.map(
        (word) => Object.keys(markers).find((marker) => marker.split("=")[0] === word.split("=")[0]) ?? word,
      ),
      continued: words.includes("continued"),
      browser: words.includes("browser"),
      with: valueOf("with"),
      from: valueOf("from"),
      throws: valueOf("throws"),
    });
  });
  return blocks;
}

function refusal({ lang, value, markers: given, with: context }) {
  // Blocks without a language are output, formulas and commands.
  if (!lang)
    return /^(?:import|const|await) /m.test(value) ? "TypeScript whose language is not given" : undefined;
  if (lang !== "ts") {
    return otherLanguages.has(lang)
      ? undefined
      : `${lang} is not a language that blocks have here (TypeScript is ts)`;
  }
  const unknown = given.find((marker) => !(marker in markers));
  if (unknown) return `no marker is called ${unknown}; there are ${Object.keys(markers).join(", ")}`;
  if (context && !existsSync(join(contexts, `${context}.ts`)))
    return `there is no site/snippets/${context}.ts`;
  return undefined;
}

/** Lines of an excerpt follow one another in the file; their indentation is free, and a line of … alone leaves some out. */
function differences({ where, value, from }) {
  const path = join(root, from);
  if (!existsSync(path)) return [`${where}: there is no ${from}`];
  const lines = trimmed(readFileSync(path, "utf8"));
  const parts = value.split(/^\s*\/\/ …$/m).map(trimmed);
  let at = 0;
  for (const part of parts) {
    const found = lines.findIndex(
      (_, start) => start >= at && part.every((line, i) => lines[start + i] === line),
    );
    if (found < 0) return [`${where}: does not stand in ${from}: ${part[0]}`];
    at = found + part.length;
  }
  return [];
}

const trimmed = (text) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");

/** Every block at the lines that it has in its page, so that the compiler's errors lead there. */
function write({ page, where, blocks, browser, with: context, throws, line }) {
  const file = join(folder, page, `${line}.ts`);
  const lines = [];
  for (const { value, line } of blocks) value.split("\n").forEach((text, i) => (lines[line - 1 + i] = text));
  const names = context ? namesFrom(context, blocks.map(({ value }) => value).join("\n")) : [];
  const from = `${relative(dirname(file), contexts)}/${context}.ts`;
  // A block is a module, in the first line, where a page has a heading.
  lines[0] = names.length > 0 ? `import { ${names.join(", ")} } from "${from}";` : "export {};";
  const text = `${Array.from(lines, (line) => line ?? "").join("\n")}\n`;
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return {
    where,
    file: relative(root, file),
    browser: blocks.some((block) => block.browser) || browser,
    context: context && relative(root, join(contexts, `${context}.ts`)),
    throws: throws ?? blocks.find((block) => block.throws)?.throws,
  };
}

/** The names that a context exports, the blocks mention, and do not declare themselves. */
function namesFrom(context, code) {
  const source = readFileSync(join(contexts, `${context}.ts`), "utf8");
  const exported = [
    ...source.matchAll(/^export (?:async )?(?:const|let|function|class|interface|type) (\w+)/gm),
  ];
  const occurs = (pattern) => new RegExp(`${pattern}\\b`).test(code);
  return exported
    .map(([, name]) => name)
    .filter(
      (name) =>
        name !== "finish" && occurs(`\\b${name}`) && !occurs(`\\b(?:const|let|function|class) ${name}`),
    );
}

function removeOthers(kept) {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder, { recursive: true })) {
    const path = join(folder, name);
    if (path.endsWith(".ts") && !kept.has(path)) rmSync(path, { force: true });
  }
}
