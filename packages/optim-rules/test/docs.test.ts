import { readFileSync } from "node:fs";
import { allSlots, structureOf } from "@mm/optim-core/backend";
import { sgd } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";
import { run } from "../../../test-support/bundling.ts";
import { pairs } from "./expectation.ts";
import { numbers } from "../../../test-support/numbers.ts";
import { yogi } from "./yogi.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
const page = read("../../../docs/rules.md");
const readme = read("../README.md");
const firstExample = (text: string): string => /```ts\n(.*?)```/s.exec(text)?.[1] ?? "";

test("the worked example is a rule that runs, and follows its formula", () => {
  expect(firstExample(page)).toBe(read("yogi.ts"));

  const w = Float32Array.from(numbers(5, 1));
  const optimizer = arrayOptimizer(yogi({ lr: 0.05, weightDecay: 0.1 }), { w });
  let p = [...w];
  const m = p.map(() => 0);
  const v = p.map(() => 1e-6);
  for (let t = 1; t <= 10; t += 1) {
    const g = numbers(5, 10 + t);
    stepWith(optimizer, { w: g });
    p = p.map((x, i) => {
      const d = g[i] as number;
      m[i] = 0.9 * (m[i] as number) + 0.1 * d;
      v[i] = (v[i] as number) - 0.001 * Math.sign((v[i] as number) - d ** 2) * d ** 2;
      const root = Math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-3;
      return x * (1 - 0.05 * 0.1) - ((0.05 / (1 - 0.9 ** t)) * m[i]) / root;
    });
    // float32 against float64, as for the rules of the package
    for (const [i, x] of p.entries())
      expect(Math.abs((w[i] as number) - x)).toBeLessThan(5e-7 + 1e-6 * Math.abs(x));
  }
  expect(() => yogi({ betas: [1, 0.9] })).toThrow(/betas in \[0, 1\)/);
});

test.each(pairs)("the table has $name with its slots and bytes", ({ name, factory }) => {
  const row = page.split("\n").find((line) => line.startsWith(`| [\`${name}\`]`)) ?? "";
  const [, , , slots = "", bytes = ""] = row.split("|").map((cell) => cell.trim());
  const { definition, hyperparameters } = factory();
  const structure = structureOf(definition, hyperparameters);
  const all = allSlots(definition, structure);
  const slotsIn = (text: string): Set<unknown> =>
    new Set([...text.matchAll(/`(\w+)`/g)].map(([, slot]) => slot));
  expect(slotsIn(slots)).toEqual(new Set([...all.slots, ...all.scalarSlots]));

  // Outside of parentheses: what the defaults have.
  const own = Object.keys(definition.slots?.(structure) ?? {});
  const scalars = Object.keys(definition.scalarSlots?.({ ...hyperparameters }, structure) ?? {});
  expect(slotsIn(slots.replace(/\(.*?\)/g, ""))).toEqual(new Set([...own, ...scalars]));
  expect(Number(bytes)).toBe(4 * own.length);
});

test("the README's loop runs, and finds the line", async () => {
  const code = firstExample(readme)
    .replace("console.log(", "export const found = [")
    .replace(/\);\n$/, "];\n");
  const { found } = (await run(code)) as { readonly found: readonly Float32Array[] };
  // y = 3x − 1. The noise, 0.3 at most, moves the last parameters about; their average lies closer.
  for (const [slope = 0, offset = 0] of found) {
    expect(Math.abs(slope - 3)).toBeLessThan(0.1);
    expect(Math.abs(offset + 1)).toBeLessThan(0.1);
  }
  expect(found).toHaveLength(2);
});

test("the README quotes the refusal as it is", () => {
  const quotedMessage = /OptimError invalid-hyperparameter: (.*)/.exec(readme)?.[1] ?? "nothing";
  expect(() => sgd({ nesterov: true })).toThrow(quotedMessage);
});
