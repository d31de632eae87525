import { expect, test } from "vitest";
import { bundle } from "../../../test-support/bundling.ts";
import { pairs } from "./expectation.ts";

const names = new Map(pairs.map(({ name, factory }) => [name, factory().name]));
const quoted = (name: string): RegExp => new RegExp(`["'\`]${name}["'\`]`);
const rulesIn = (code: string): string[] => [...names.values()].filter((name) => quoted(name).test(code));

test.each([...names])("a bundle with %s alone contains no other rule", async (name, ruleName) => {
  const code = await bundle(`import { ${name} } from "@mm/optim-rules"; console.log(${name}());`);
  expect(rulesIn(code)).toEqual([ruleName]);
  expect(code).not.toMatch(/emaDecay|swaEvery|syncPeriod|Cautious|SAMAscent/);
});

test("importing the package for nothing brings nothing", async () => {
  expect((await bundle('import "@mm/optim-rules";')).trim()).toBe("");
});

test("a combinator or decorator brings no rule, and no other of them", async () => {
  const words = {
    cautious: /Cautious/,
    ema: /stepsSinceEma/,
    lookahead: /stepsSinceSync/,
    sam: /climbing/,
    swa: /swaCount/,
  };
  for (const name of Object.keys(words)) {
    const code = await bundle(`import { ${name} } from "@mm/optim-rules"; console.log(${name});`);
    const found = Object.entries(words).filter(([, word]) => word.test(code));
    expect(found.map(([other]) => other)).toEqual([name]);
    expect(rulesIn(code)).toEqual([]);
  }
});
