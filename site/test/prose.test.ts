import { expect, test } from "vitest";
import { problemsIn } from "../../scripts/prose/read.mjs";

test("a sentence begins with its subject, in pages and comments, unless it asks or is a heading", async () => {
  const page =
    "# What it costs\n\nWhat does it cost? Nothing waits. What waits is gone.\n\n**What would change it.** Time.\n";
  expect(await problemsIn("a.md", page)).toEqual([
    '3: begins with "What": name the subject first (subjectFirst)',
  ]);
  const source = `const a = "What is";\n/** Whose value is here. */\n${["f(a);", "Who refuses."].join(" // ")}\n`;
  expect(await problemsIn("a.ts", source)).toEqual([
    '2: begins with "Whose": name the subject first (subjectFirst)',
    '3: begins with "Who": name the subject first (subjectFirst)',
  ]);
});

test("messages of errors are read, too", async () => {
  const failing = "throw new Error";
  const source = `\n${failing}("What came is no state");\n`;
  expect(await problemsIn("a.mjs", source)).toEqual([
    '2: begins with "What": name the subject first (subjectFirst)',
  ]);
});

test("a concept has one name, and a cost one tag", async () => {
  expect(await problemsIn("a.md", "Two mini-batches. Awaits the GPU. Waits for the device.\n")).toEqual([
    '1: "mini-batches" is called "micro-batch" here: docs/glossary.md (oneName)',
    '1: "Awaits the GPU": write "Waits for the device." (costTag)',
  ]);
});

test("a cell is no paragraph", async () => {
  const table = (cell: string) => `| a |\n| --- |\n| ${cell} |\n`;
  expect(await problemsIn("a.md", table("x".repeat(240)))).toEqual([]);
  expect(await problemsIn("a.md", table("x".repeat(241)))).toEqual([
    "3: a cell of 241 characters: at most 240 (shortCells)",
  ]);
});
