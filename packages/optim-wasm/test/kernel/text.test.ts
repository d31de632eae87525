import { hyperparameterEntries, type Program, structureOf, traceRule } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import { adam, lamb, sgd } from "@mm/optim-rules";
import { expect, test } from "vitest";
import { programText } from "../../src/kernel/text.ts";

const programOf = ({ definition, hyperparameters }: UpdateRule): Program =>
  traceRule(definition, structureOf(definition, hyperparameterEntries(hyperparameters)), {
    clipValue: false,
    zeroNonFinite: false,
  });

const rules: Record<string, UpdateRule> = {
  sgd: sgd(),
  momentum: sgd({ momentum: 0.9 }),
  adam: adam(),
  lamb: lamb(),
};

test.each(Object.keys(rules))("%s as WebAssembly text", async (name) => {
  await expect(programText(programOf(rules[name]!))).toMatchFileSnapshot(`text/${name}.wat`);
});

test.each(Object.keys(rules))("of %s every instruction is known, and blocks are balanced", (name) => {
  const text = programText(programOf(rules[name]!));
  expect(text).not.toMatch(/undefined|0x[0-9a-f]+$/m);
  const count = (word: string): number => text.split("\n").filter((line) => line.trim() === word).length;
  expect(count("block") + count("loop")).toBe(count("end"));
});
