import { expect, test } from "vitest";
import { bundle } from "../../../test-support/bundling.ts";

/** Which of these words the bundle of an import holds. */
async function wordsIn(names: string, words: readonly string[]): Promise<readonly string[]> {
  const code = await bundle(`import { ${names} } from "@mm/optim-config"; console.log(${names});`);
  return words.filter((word) => code.includes(word));
}

test("importing the package for nothing brings nothing", async () => {
  expect((await bundle('import "@mm/optim-config";')).trim()).toBe("");
});

test("building brings no rule, no schedule and no schema of schedules: rules and schedules are handed in", async () => {
  const words = ["biasLrMult", "AdamW", "amsgrad", "cosineRestarts", "pctStart", "json-schema.org"];
  expect(await wordsIn("buildOptimWrapper, buildScheduler", words)).toEqual(["biasLrMult"]);
});

test("explanations bring no builder", async () => {
  const words = ["toPrecision", "biasLrMult", "minItems", "lossFactor:"];
  expect(await wordsIn("explain, formatExplanation", words)).toEqual(["toPrecision"]);
});
