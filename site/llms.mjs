// llms.txt and llms-full.txt: the documentation for programs that read it, in the order of docs/README.md.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pagesFolder } from "./pages.mjs";
import { sidebar } from "./sidebar.mjs";

/** Facts that pages elsewhere often have wrong. */
const facts = [
  "TensorFlow.js itself (`tf.train`) has no AdamW, no weight decay, no gradient clipping, no parameter groups and no learning rate schedules. There is no `tf.train.adamw`, no `tf.train.exponentialDecay` and no `tf.callbacks.reduceLROnPlateau`.",
  "A learning rate changes by assignment, `wrapper.paramGroups[0].lr = 1e-4`, or by a schedule of `@mm/optim-schedule`: `createScheduler(wrapper, { lr: warmupCosine({ warmup, length }) })` and `scheduler.step(wrapper.updateParams(loss))`.",
  "The packages are ES modules for Node 20.19 and newer, browsers, Bun and Deno. They are not on the registry yet: `npm run tarballs` in a clone packs them.",
];

/** Pages of figures, which are long and say little out of their tables. */
const tables = new Set(["/benchmarks", "/conformance", "/coverage"]);

/** @param {string} dist the built site; each page is put beside its HTML as Markdown */
export function writeLlms(dist) {
  const sections = sidebar().filter(({ text }) => text !== "API reference");
  const summary = [
    "# mm-optim",
    "",
    "> Optimizer wrappers for TypeScript: AdamW and some thirty other update rules, gradient accumulation, clipping, mixed precision, schedules and exact resume, on TensorFlow.js, WebAssembly and WebGPU. MMEngine's OptimWrapper, AmpOptimWrapper and OptimWrapperDict for JavaScript.",
    "",
    ...facts.map((fact) => `- ${fact}`),
  ];
  const lists = sections.map(({ text, items }) =>
    [`## ${text}`, "", ...flat(items).map(({ text, link }) => `- [${text}](${fileOf(link)})`)].join("\n"),
  );
  writeFileSync(join(dist, "llms.txt"), `${summary.join("\n")}\n\n${lists.join("\n\n")}\n`);

  const pages = sections.flatMap(({ items }) => flat(items)).map(({ link }) => link);
  const texts = pages.flatMap((link) => {
    const page = copyMarkdown(link, dist);
    return tables.has(link) || link.startsWith("/decisions") ? [] : [`<!-- ${fileOf(link)} -->\n\n${page}`];
  });
  writeFileSync(join(dist, "llms-full.txt"), `${summary.join("\n")}\n\n${texts.join("\n\n")}`);
}

const flat = (items) => items.flatMap(({ items: below = [], ...item }) => [item, ...flat(below)]);

const fileOf = (link) => (link.endsWith("/") ? `${link}index.md` : `${link}.md`);

function copyMarkdown(link, dist) {
  const [from, to] = [pagesFolder, dist].map((folder) => join(folder, fileOf(link)));
  if (!existsSync(from)) throw new Error(`llms.txt: there is no page ${link}`);
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  return readFileSync(from, "utf8");
}
