// textlint with our own rules, over the text of one file.
import { extname } from "node:path";
import { TextlintKernel } from "@textlint/kernel";
import markdown from "@textlint/textlint-plugin-markdown";
import { commentsOf, messagesOf } from "./extract.mjs";
import { rules } from "./rules.mjs";

const kernel = new TextlintKernel();
const options = {
  ext: ".md",
  plugins: [{ pluginId: "markdown", plugin: markdown.default ?? markdown }],
  rules,
};

/** @returns {Promise<string[]>} a line for each problem: `12: message (rule)` */
export async function problemsIn(file, text) {
  const problems = [];
  for (const part of extname(file) === ".md" ? [text] : [commentsOf(text), messagesOf(text)]) {
    if (part.trim() === "") continue;
    const { messages } = await kernel.lintText(part, options);
    problems.push(...messages.map(({ line, message, ruleId }) => `${line}: ${message} (${ruleId})`));
  }
  return problems;
}
