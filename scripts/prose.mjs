// Reads the prose of the repository with textlint: Markdown, comments, and the messages of errors.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { problemsIn } from "./prose/read.mjs";
import { root } from "./workspace.mjs";

const files = execFileSync("git", ["ls-files", "*.md", "*.ts", "*.mjs"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter((file) => file && existsSync(join(root, file)) && !file.endsWith("CHANGELOG.md"));
const problems = [];
for (const file of files) {
  const found = await problemsIn(file, readFileSync(join(root, file), "utf8"));
  problems.push(...found.map((problem) => `${file}:${problem}`));
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
