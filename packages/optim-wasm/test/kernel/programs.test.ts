import { type ElementNode, structureOf, traceRule } from "@mm/optim-core/backend";
import { describe, expect, test } from "vitest";
import { anyArray, anyNumber, randomNumbers } from "../../../../test-support/numbers.ts";
import { allRules, program } from "../../../../test-support/programs.ts";
import { bothWays, lengths } from "./fixtures.ts";

const values = ["neg", "sqrt", "abs", "sign"] as const;
const pairs = ["add", "sub", "mul", "div", "min", "max"] as const;
const comparisons = ["gt", "lt", "eq"] as const;

/** A program of `size` random nodes over the leaves, two slots, three uniforms and a constant, and at most two norms. */
function randomProgram(random: () => number, size: number): ReturnType<typeof program> {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const nodes: ElementNode[] = [
    { op: "param" },
    { op: "grad" },
    { op: "slot", slot: 0 },
    { op: "slot", slot: 1 },
    { op: "uniform", uniform: 0 },
    { op: "uniform", uniform: 1 },
    { op: "uniform", uniform: 2 },
    { op: "const", value: Math.fround(random() - 0.5) },
  ];
  const numbers = nodes.map((_, index) => index);
  const tensors = [0, 1, 2, 3];
  const push = (node: ElementNode, varying: boolean): void => {
    const index = nodes.push(node) - 1;
    numbers.push(index);
    if (varying) tensors.push(index);
  };
  const varies = (...operands: readonly number[]): boolean =>
    operands.some((operand) => tensors.includes(operand));
  while (nodes.length < size) {
    const [a, b] = [pick(numbers), pick(numbers)];
    const kind = random();
    if (kind < 0.2) push({ op: pick(values), a }, varies(a));
    else if (kind < 0.85) push({ op: pick(pairs), a, b }, varies(a, b));
    else {
      const [c, d] = [pick(numbers), pick(numbers)];
      const condition = nodes.push({ op: pick(comparisons), a: c, b: d }) - 1;
      push({ op: "select", condition, a, b }, varies(a, b, c, d));
    }
  }
  const norms = [...new Set([pick(tensors), pick(tensors)])].slice(0, Math.floor(random() * 3));
  return program(nodes, { param: pick(numbers), slots: [pick(numbers), pick(numbers)] }, norms);
}

describe("random programs equal the reference to the bit", () => {
  // Sizes on both sides of 40 and 100 nodes, where the main loop is unrolled less.
  test.each([10, 20, 45, 130])("60 programs of %i nodes", (size) => {
    const random = randomNumbers(size);
    for (let count = 0; count < 60; count += 1) {
      const it = randomProgram(random, size);
      const length = lengths[count % lengths.length] as number;
      const { compiled, reference } = bothWays(
        it,
        anyArray(random, length),
        anyArray(random, length),
        [anyArray(random, length), anyArray(random, length)],
        Float32Array.from({ length: it.uniforms.length }, () => anyNumber(random)),
      );
      expect(compiled).toEqual(reference);
    }
  });
});

/** Every setting of so many switches, one bit each; of more than nine, 512 that lie evenly among them. */
function combinations(switches: number): readonly number[] {
  const spread = (index: number): number => Math.imul(index, 0x9e3779b1) >>> (32 - switches);
  return Array.from({ length: Math.min(1 << switches, 512) }, (_, index) =>
    switches > 9 ? spread(index) : index,
  );
}

describe("rules equal the reference to the bit", () => {
  const random = randomNumbers(7);

  test.each(allRules.map((rule) => [rule.name, rule] as const))(
    "%s in every structure, with and without clipping by value and zeroing",
    (_, { definition }) => {
      const switches = Object.keys(structureOf(definition, definition.hyperparameters));
      for (const bits of combinations(switches.length + 2)) {
        const on = (place: number): boolean => (bits & (1 << place)) !== 0;
        const structure = Object.fromEntries(switches.map((name, place) => [name, on(place + 2)]));
        const it = traceRule(definition, structure, { clipValue: on(0), zeroNonFinite: on(1) });
        const length = lengths[bits % lengths.length] as number;
        const { compiled, reference } = bothWays(
          it,
          anyArray(random, length),
          anyArray(random, length),
          it.slots.map(() => anyArray(random, length)),
          Float32Array.from(it.uniforms, () => random()),
        );
        expect(compiled).toEqual(reference);
      }
    },
  );
});
