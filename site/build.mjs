// Builds the documentation into site/dist: the pages of the repository, the API reference, llms.txt, and the pages that run. With --serve it is shown, too.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, serve } from "vitepress";
import { deadAnchors } from "./anchors.mjs";
import { writeApi } from "./api.mjs";
import { writeLlms } from "./llms.mjs";
import { pagesFolder, writePages } from "./pages.mjs";
import { buildPrograms } from "./programs.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

writePages();
await writeApi(join(pagesFolder, "api"));
await build(here);
await buildPrograms(join(here, "dist"));
writeLlms(join(here, "dist"));
const dead = deadAnchors(join(here, "dist"));
if (dead.length > 0) throw new Error(`links that lead nowhere:\n${dead.join("\n")}`);
if (process.argv.includes("--serve")) {
  await serve({ root: here, port: 4173 });
  console.log("http://127.0.0.1:4173");
}
