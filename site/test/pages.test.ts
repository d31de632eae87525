import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { deadAnchors } from "../anchors.mjs";
import { markdownFiles, readPage } from "../markdown.mjs";
import { addressOf } from "../pages.mjs";

it("docs/README.md, the order of the site, has every page of docs", () => {
  const contents = readPage("docs/README.md");
  const pages = markdownFiles().filter((page) => /^docs\/[^/]+\.md$/.test(page) && page !== "docs/README.md");
  expect(pages.length).toBeGreaterThan(15);
  expect(pages.filter((page) => !contents.includes(`](${page.slice("docs/".length)})`))).toEqual([]);
});

it("puts guides at the top, READMEs at their folder, and other files below source", () => {
  const files = [
    "README.md",
    "docs/gan.md",
    "docs/decisions/README.md",
    "packages/optim-core/README.md",
    "packages/optim-core/src/errors.ts",
    "LICENSE",
  ];
  expect(files.map(addressOf)).toEqual([
    "/",
    "/gan",
    "/decisions/",
    "/packages/optim-core/",
    "/source/packages/optim-core/src/errors.ts",
    "/source/LICENSE",
  ]);
});

it("finds links to places that a built page does not have", () => {
  const folder = mkdtempSync(join(tmpdir(), "site-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "b"));
  writeFileSync(
    join(folder, "a.html"),
    '<h2 id="here"><a href="#here"></a></h2><a href="/b/#there"></a><a href="/b/#gone"></a>',
  );
  writeFileSync(
    join(folder, "b/index.html"),
    '<h2 id="there"></h2><a href="/a.html#here"></a><a href="../a.html#lost"></a>',
  );
  expect(deadAnchors(folder)).toEqual(["/a.html: /b/#gone", "/b/index.html: ../a.html#lost"]);
});
