// VitePress finds links to pages that are not there. This finds links to places in a page that are not there.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** @param {string} folder a built site @returns {string[]} a line for each link that leads nowhere */
export function deadAnchors(folder) {
  const pages = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith(".html"));
  const texts = new Map(pages.map((page) => [`/${page}`, readFileSync(join(folder, page), "utf8")]));
  const ids = new Map([...texts].map(([page, text]) => [page, new Set(all(text, / id="([^"]*)"/g))]));
  return [...texts].flatMap(([page, text]) =>
    all(text, / href="([^":]*#[^"]+)"/g)
      .filter((link) => {
        const { pathname, hash } = new URL(link, `site:${page}`);
        const target = pathname.endsWith("/") ? `${pathname}index.html` : pathname;
        return !ids.get(target)?.has(decodeURIComponent(hash.slice(1)));
      })
      .map((link) => `${page}: ${link}`),
  );
}

const all = (text, pattern) => [...new Set([...text.matchAll(pattern)].map(([, found]) => found))];
