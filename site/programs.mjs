// The pages of the repository that are programs: they run on the site, under run/.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "vite";
import { root } from "../scripts/workspace.mjs";

/** Each with its folder in the repository, and its address on the site. */
export const programs = [
  ...readdirSync(join(root, "examples")).map((name) => ({
    folder: `examples/${name}`,
    address: `/run/${name}/`,
  })),
  { folder: "bench/webgl", address: "/run/bench/" },
].filter(({ folder }) => existsSync(join(root, folder, "index.html")));

/** @param {string} folder of the built site */
export async function buildPrograms(folder) {
  for (const program of programs) {
    const outDir = join(folder, program.address);
    const options = { outDir, emptyOutDir: true, chunkSizeWarningLimit: 2000 };
    await build({ root: join(root, program.folder), base: "./", logLevel: "error", build: options });
  }
}
