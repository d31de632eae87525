import { expect, test } from "vitest";
import { bundle } from "../../../test-support/bundling.ts";

/** Which of these words the bundle of an import holds. */
async function wordsIn(names: string, words: readonly string[]): Promise<readonly string[]> {
  const code = await bundle(`import { ${names} } from "@mm/optim-train"; console.log(${names});`);
  return words.filter((word) => code.includes(word));
}

// Words of a run, of batches, of the best of a measure, of lines for people, and of a file.
const words = ["optim-run", "dropLast", "best.observe", "toExponential", "node:fs"];

test("importing the package for nothing brings nothing", async () => {
  expect((await bundle('import "@mm/optim-train";')).trim()).toBe("");
});

test.each([
  ["createRun", ["optim-run"]],
  ["createBatches", ["dropLast"]],
  ["createBest", ["best.observe"]],
  ["collectMetrics, textLines", ["toExponential"]],
  ["smoothed, plainState", []],
])("%s brings nothing of the other parts", async (names, expected) => {
  expect(await wordsIn(names, words)).toEqual(expected);
});
