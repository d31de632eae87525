// Refuses host names of registries and content delivery networks in files of the repository: names of packages say where they come from
// through whatever registry a reader uses, and a page that loads from a network of others breaks without it.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./workspace.mjs";

// Written so that this file does not match itself.
const hosts = [
  /\b(?:npmjs|npmmirror|yarnpkg)\.(?:com|org)\b/,
  /\bnpm\.(?:taobao|im|runkit)\b/,
  /\b(?:npm|maven|pypi)\.pkg\.\w+\.com\b/,
  /\bjsr\.io\b/,
  /\bregistry\.[\w-]+\.(?:com|dev|io|net|org)\b/,
  /\b(?:un[p]kg|js[d]elivr|skypack|cdnjs|bootcdn|statically|jspm|deno)\.(?:com|dev|io|land|net)\b/,
  /\b(?:cdnjs\.cloudflare|ajax\.googleapis|fonts\.googleapis|fonts\.gstatic|storage\.googleapis)\.com\b/,
  /\besm\.(?:run|sh)\b/,
  /\bcdn\.[\w-]+\.\w+/,
  /\bgitpkg\b/,
  /\b(?:pypi|pythonhosted|anaconda|rubygems)\.org\b/,
  /\b(?:crates|static\.crates|ghcr|quay)\.io\b/,
];

const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
  maxBuffer: 1 << 28,
});
const found = [...new Set(files.split("\0"))].filter(Boolean).flatMap((file) => {
  let text;
  try {
    text = readFileSync(join(root, file), "utf8");
  } catch {
    return []; // It was deleted and not committed.
  }
  if (text.includes("\0")) return [];
  return text
    .split("\n")
    .flatMap((line, index) =>
      hosts.flatMap((host) => host.exec(line)?.[0] ?? []).map((name) => `${file}:${index + 1}: ${name}`),
    );
});
if (found.length > 0) {
  console.error(`host names of registries or content delivery networks:\n${found.join("\n")}`);
  process.exit(1);
}
