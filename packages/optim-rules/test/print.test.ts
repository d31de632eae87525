import { hyperparameterEntries, printProgram, structureOf, traceRule } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import { adamw, cautious, ema, lamb, nadam, sgd } from "@mm/optim-rules";
import { expect, test } from "vitest";

const plain = { clipValue: false, zeroNonFinite: false };

const programOf = ({ definition, hyperparameters }: UpdateRule, rewrite = plain) =>
  traceRule(definition, structureOf(definition, hyperparameterEntries(hyperparameters)), rewrite);

test.each<[string, UpdateRule]>([
  ["sgd", sgd({ momentum: 0.9, nesterov: true })],
  ["adamw", adamw()],
  ["nadam", nadam()],
  ["lamb", lamb()],
  ["cautious-adamw", cautious(adamw())],
  ["ema-sgd", ema(sgd())],
])("the program of %s can be read", async (name, rule) => {
  await expect(printProgram(programOf(rule))).toMatchFileSnapshot(`programs/${name}.txt`);
});

test("plain descent, line by line", () => {
  expect(
    printProgram(programOf(sgd()))
      .split("\n")
      .map((line) => line.replace(/ +#/, " #")),
  ).toEqual([
    "SGD",
    "scalars, float64:",
    "  r0 = lr",
    "elements, float32:",
    "  n0 = grad",
    "  n1 = gradFactor # once a tensor",
    "  n2 = n0 * n1",
    "  n3 = param",
    "  n4 = r0 # once a tensor",
    "  n5 = n4 * n2",
    "  n6 = n3 - n5",
    "param = n6",
    "",
  ]);
});

test("clipping by value and zeroing are in the program, too", () => {
  const text = printProgram(programOf(sgd(), { clipValue: true, zeroNonFinite: true }));
  expect(text).toMatch(/^SGD clipValue zeroNonFinite\n/);
  expect(text).toMatch(/ = clipValue/);
  expect(text).toMatch(/ = select\(n\d+, n\d+, n\d+\)/);
  expect(text).toMatch(/ = n\d+ == n\d+/);
});

test("every line computes from lines above it, and every name is defined once", () => {
  for (const rule of [adamw({ amsgrad: true }), lamb(), nadam()]) {
    const lines = printProgram(programOf(rule)).split("\n").slice(1);
    const defined = new Set<string>();
    for (const line of lines) {
      const [, name, value = ""] = /^  ([rn]\d+) = ([^#]*)/.exec(line) ?? [];
      if (name === undefined) continue;
      // A norm is of elements that a first pass computes.
      const used = value.includes("norm(") ? [] : (value.match(/\b[rn]\d+\b/g) ?? []);
      for (const operand of used) expect(defined).toContain(operand);
      expect(defined).not.toContain(name);
      defined.add(name);
    }
  }
});
