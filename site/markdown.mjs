// The Markdown of this repository, read off the disk and parsed; nothing is listed by hand.
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import remarkGfm from "remark-gfm";
import remarkParse from "remark-parse";
import { unified } from "unified";
import { root } from "../scripts/workspace.mjs";

const skipped = new Set(["node_modules", "dist", "runs", "coverage", "template", "CHANGELOG.md"]);

/** @returns {string[]} every Markdown file a reader may open, relative to the root; hidden folders are tools' own */
export function markdownFiles() {
  return readdirSync(root, { withFileTypes: true })
    .flatMap((entry) => find(entry, root))
    .sort((a, b) => (a < b ? -1 : 1));

  function find(entry, parent) {
    if (entry.name.startsWith(".") || skipped.has(entry.name)) return [];
    const path = join(parent, entry.name);
    if (entry.isDirectory()) {
      return readdirSync(path, { withFileTypes: true }).flatMap((child) => find(child, path));
    }
    return entry.name.endsWith(".md") ? [relative(root, path)] : [];
  }
}

export const readPage = (page) => readFileSync(join(root, page), "utf8");

const parser = unified().use(remarkParse).use(remarkGfm);

/** The syntax tree (mdast) of a text. */
export const parse = (text) => parser.parse(text);
