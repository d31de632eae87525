// The list beside a page: the sections of docs/README.md, in its order; then packages, examples and API, as they lie in the repository.
import { toString } from "mdast-util-to-string";
import { posix } from "node:path";
import { entryPoints } from "../scripts/workspace.mjs";
import { markdownFiles, parse, readPage } from "./markdown.mjs";
import { addressOf } from "./pages.mjs";

export function sidebar() {
  const readmes = (folder) =>
    markdownFiles().filter((page) => new RegExp(`^${folder}/[^/]+/README\\.md$`).test(page));
  const items = (pages) => pages.map((page) => ({ text: titleOf(page), link: addressOf(page) }));
  return [
    ...sections(),
    { text: "Packages", collapsed: true, items: items(readmes("packages")) },
    { text: "Examples", collapsed: true, items: items(readmes("examples")) },
    {
      text: "API reference",
      collapsed: true,
      items: entryPoints().map(({ specifier }) => ({ text: specifier, link: `/api/${specifier}` })),
    },
  ];
}

/** Headings and the links of the lists below them. A folder opens into its pages. */
function sections() {
  const found = [];
  for (const node of parse(readPage("docs/README.md")).children) {
    if (node.type === "heading" && node.depth === 2) found.push({ text: toString(node), items: [] });
    if (node.type !== "list") continue;
    for (const item of node.children) {
      const link = item.children[0]?.children.find(({ type }) => type === "link");
      if (link) found.at(-1)?.items.push(entryFor(toString(link), posix.join("docs", link.url)));
    }
  }
  return found;
}

function entryFor(text, path) {
  if (!path.endsWith("/")) return { text: capital(text), link: addressOf(path) };
  const pages = markdownFiles().filter((page) => page.startsWith(path) && !page.endsWith("README.md"));
  return {
    text: capital(text),
    link: addressOf(`${path}README.md`),
    collapsed: true,
    items: pages.map((page) => ({ text: titleOf(page), link: addressOf(page) })),
  };
}

/** The first heading. */
function titleOf(page) {
  const heading = parse(readPage(page)).children.find(({ type, depth }) => type === "heading" && depth === 1);
  return heading ? toString(heading) : page;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
