// Packs every package as a registry would have it, without a version in its name:
//
//   node scripts/tarballs.mjs           into tarballs/
//   node scripts/tarballs.mjs FOLDER    into another folder
import { execFileSync } from "node:child_process";
import { basename, join, relative, resolve } from "node:path";
import { publishedPackages, root } from "./workspace.mjs";

const to = resolve(process.argv[2] ?? join(root, "tarballs"));
for (const { folder } of publishedPackages()) {
  const out = join(to, `${basename(folder)}.tgz`);
  execFileSync("npx", ["--no-install", "pnpm", "pack", "--out", out], {
    cwd: join(root, folder),
    stdio: ["ignore", "ignore", "inherit"],
  });
}
console.log(`${publishedPackages().length} tarballs in ${relative(process.cwd(), to) || "."}`);
