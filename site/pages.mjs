// Lays the Markdown of the repository out as the site has it, in .pages. Links lead where they led: to pages, to pictures, and to files of
// the repository, which become pages of their own when something links to them.
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { visit } from "unist-util-visit";
import { root } from "../scripts/workspace.mjs";
import { markdownFiles, parse, readPage } from "./markdown.mjs";
import { programs } from "./programs.mjs";

export const pagesFolder = fileURLToPath(new URL(".pages", import.meta.url));

const pictures = new Set([".png", ".svg", ".jpg", ".gif", ".webp"]);

/** Where a file of the repository is on the site. Both sides are relative, with slashes. */
function placeOf(path) {
  if (path === "README.md" || path === "site/home.md") return "index.md";
  if (path === "docs/README.md") return "contents.md";
  const place = path.replace(/^docs\//, "").replace(/(^|\/)README\.md$/, "$1index.md");
  if (place.endsWith(".md")) return place.toLowerCase();
  return pictures.has(extname(path)) ? place : `source/${place}.md`;
}

const programOf = (path) => programs.find(({ folder }) => path === `${folder}/index.html`);

/** Where an address on the site is, from its root. */
export const addressOf = (path) =>
  programOf(path)?.address ??
  `/${placeOf(path)
    .replace(/(^|\/)index\.md$/, "$1")
    .replace(/\.md$/, "")}`;

export function writePages() {
  rmSync(pagesFolder, { recursive: true, force: true });
  const files = new Set();
  for (const page of markdownFiles()) {
    // The site begins with a page of its own, to which links to the README lead.
    if (page !== "README.md")
      write(
        placeOf(page),
        withLinks(page, (target) => files.add(target)),
      );
  }
  for (const file of files) {
    const place = placeOf(file);
    if (place.startsWith("source/")) write(place, asPage(file));
    else if (!place.endsWith(".md")) copy(file, place);
  }
  copy("site/social.png", "public/social.png");
  write("examples.md", examplesPage());
}

/** A list of all examples, each with what its README says first. */
function examplesPage() {
  const entries = markdownFiles()
    .filter((page) => /^examples\/[^/]+\/README\.md$/.test(page))
    .map((page) => {
      const [title, ...paragraphs] = readPage(page).split(/\n\n+/);
      const first = paragraphs.find((paragraph) => /^[A-Za-z]/.test(paragraph)) ?? "";
      // A sentence that ends with a colon leads to what follows it there.
      const sentences = withoutLinks(first).replace(/[^.]*:$/, "");
      const program = programs.find(({ folder }) => page === `${folder}/README.md`);
      const open = program === undefined ? "" : `\n\n[Open it here](${program.address}){target="_self"}`;
      return `## [${title.slice(2)}](${addressOf(page)})\n\n${sentences}${open}`;
    });
  return ["# Examples", "For everybody who would rather read a program.", ...entries].join("\n\n");
}

/** Links of a README are relative to it. */
const withoutLinks = (text) => text.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");

/** The text of a page, each relative link replaced by the address that it has on the site. */
function withLinks(page, found) {
  const text = readPage(page);
  const edits = [];
  visit(parse(text), ["link", "image", "definition"], (node) => {
    if (/^(?:[a-z]+:|#)/i.test(node.url)) return;
    const target = targetOf(page, node.url);
    const isProgram = programOf(target.file) !== undefined;
    if (!isProgram) found(target.file);
    const { start, end } = node.position;
    const source = text.slice(start.offset, end.offset);
    const address = pictures.has(extname(target.file)) ? `/${placeOf(target.file)}` : addressOf(target.file);
    const at = source.lastIndexOf(node.url);
    edits.push({
      from: start.offset + at,
      to: start.offset + at + node.url.length,
      url: address + target.anchor,
    });
    // The site's own pages are loaded in place of each other; a program is not one of them.
    if (isProgram) edits.push({ from: end.offset, to: end.offset, url: '{target="_self"}' });
  });
  return edits
    .toReversed()
    .reduce((done, { from, to, url }) => done.slice(0, from) + url + done.slice(to), text);
}

/** The file that a link leads to; that of a folder is its README. */
function targetOf(page, url) {
  const [path, anchor] = url.split("#");
  let file = posix.join(posix.dirname(page), decodeURI(path));
  if (!existsSync(join(root, file))) throw new Error(`${page}: there is no ${url}`);
  if (statSync(join(root, file)).isDirectory()) file = posix.join(file, "README.md");
  if (!existsSync(join(root, file))) throw new Error(`${page}: ${url} is a folder without a README.md`);
  return { file, anchor: anchor === undefined ? "" : `#${anchor}` };
}

/** A file of the repository as a page. */
function asPage(file) {
  const language = { ".ts": "ts", ".mjs": "js", ".json": "json", ".py": "py" }[extname(file)] ?? "text";
  return [
    "---",
    "outline: false",
    "search: false",
    "---",
    "",
    `# ${posix.basename(file)}`,
    "",
    `\`${file}\``,
    "",
    `\`\`\`\`\`${language}`,
    readFileSync(join(root, file), "utf8").trimEnd(),
    "`````",
    "",
  ].join("\n");
}

function write(place, text) {
  const path = join(pagesFolder, place);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function copy(file, place) {
  const path = join(pagesFolder, place);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(join(root, file), path);
}
