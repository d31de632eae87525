import type { ElementNode } from "@mm/optim-core/backend";
import { describe, expect, test } from "vitest";
import { anyArray, edges, randomNumbers } from "../../../../test-support/numbers.ts";
import { program, runPasses } from "../../../../test-support/programs.ts";
import { bothWays, Heap, lengths } from "./fixtures.ts";

/** Every pair of edges. */
const pairs = edges.flatMap((a) => edges.map((b) => [a, b] as const));
const left = Float32Array.from(pairs, ([a]) => a);
const right = Float32Array.from(pairs, ([, b]) => b);

const unary = ["neg", "sqrt", "abs", "sign"] as const;
const binary = ["add", "sub", "mul", "div", "min", "max"] as const;
const comparisons = ["gt", "lt", "eq"] as const;

describe("each operation equals the reference to the bit", () => {
  test.each(unary)("%s of every edge", (op) => {
    const nodes: ElementNode[] = [{ op: "grad" }, { op, a: 0 }];
    const { compiled, reference } = bothWays(program(nodes, { param: 1 }), left, right);
    expect(compiled).toEqual(reference);
  });

  test.each(binary)("%s of every pair of edges", (op) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "grad" }, { op, a: 0, b: 1 }];
    const { compiled, reference } = bothWays(program(nodes, { param: 2 }), left, right);
    expect(compiled).toEqual(reference);
  });

  test.each(binary)("%s of a tensor and every edge as a scalar", (op) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "uniform", uniform: 0 }, { op, a: 0, b: 1 }];
    const it = program(nodes, { param: 2 });
    for (const edge of edges) {
      const { compiled, reference } = bothWays(it, left, right, [], Float32Array.of(edge));
      expect(compiled).toEqual(reference);
    }
  });

  test.each(binary)("%s of two scalars, beside a tensor", (op) => {
    const nodes: ElementNode[] = [
      { op: "grad" },
      { op: "uniform", uniform: 0 },
      { op: "uniform", uniform: 1 },
      { op, a: 1, b: 2 },
      { op: "mul", a: 0, b: 3 },
    ];
    const it = program(nodes, { param: 4, slots: [3] });
    const few = Float32Array.of(1, -1, 0, NaN, Infinity, -0, 3);
    for (const [a, b] of pairs) {
      const { compiled, reference } = bothWays(it, few, few, [few], Float32Array.of(a, b));
      expect(compiled).toEqual(reference);
    }
  });

  test.each(comparisons)("select by %s, of every pair of edges", (op) => {
    const nodes: ElementNode[] = [
      { op: "param" },
      { op: "grad" },
      { op, a: 0, b: 1 },
      { op: "const", value: 7 },
      { op: "select", condition: 2, a: 1, b: 3 },
    ];
    const { compiled, reference } = bothWays(program(nodes, { param: 4 }), left, right);
    expect(compiled).toEqual(reference);
  });

  test("select by a comparison of scalars", () => {
    const nodes: ElementNode[] = [
      { op: "param" },
      { op: "grad" },
      { op: "uniform", uniform: 0 },
      { op: "const", value: 0 },
      { op: "gt", a: 2, b: 3 },
      { op: "select", condition: 4, a: 0, b: 1 },
    ];
    const it = program(nodes, { param: 5 });
    for (const edge of edges) {
      const { compiled, reference } = bothWays(it, left, right, [], Float32Array.of(edge));
      expect(compiled).toEqual(reference);
    }
  });
});

test("sign and max by hand: sign(−0) is +0, max(−0, scalar 0) keeps −0, NaN stays", () => {
  const heap = new Heap();
  const x = Float32Array.of(-0, -2, NaN, 2 ** -149, 5);
  const [param, slot] = [heap.vector(x), heap.vector(x)];
  const nodes: ElementNode[] = [
    { op: "param" },
    { op: "slot", slot: 0 },
    { op: "const", value: 0 },
    { op: "sign", a: 0 },
    { op: "max", a: 1, b: 2 },
  ];
  runPasses(
    heap.kernels,
    "update",
    program(nodes, { param: 3, slots: [4] }),
    [param, param, slot],
    new Float32Array(0),
  );
  expect([...heap.read(param)]).toEqual([0, -1, NaN, 1, 1]);
  expect([...heap.read(slot)]).toEqual([-0, 0, NaN, 2 ** -149, 5]);
});

describe("what is written", () => {
  const random = randomNumbers(1);

  test.each(lengths)("a constant into a slot, the parameter untouched, %i elements", (length) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "const", value: 0.1 }];
    const it = program(nodes, { param: 0, slots: [1] });
    const [param, grad, slot] = [
      anyArray(random, length),
      anyArray(random, length),
      anyArray(random, length),
    ];
    const { compiled, reference } = bothWays(it, param, grad, [slot]);
    expect(compiled).toEqual(reference);
    expect(compiled.vectors.slice(2)).toEqual([new Float32Array(length).fill(0.1)]);
  });

  test("nothing, where a rule changes nothing", () => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "slot", slot: 0 }];
    const { compiled } = bothWays(program(nodes, { param: 0, slots: [1] }), left, right, [right]);
    expect(compiled).toMatchObject({ vectors: [left, right, right] });
  });

  test.each(lengths)("two slots that change places, %i elements", (length) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "slot", slot: 0 }, { op: "slot", slot: 1 }];
    const [one, two] = [anyArray(random, length), anyArray(random, length)];
    const { compiled } = bothWays(program(nodes, { param: 0, slots: [2, 1] }), one, one, [one, two]);
    expect(compiled.vectors.slice(2)).toEqual([two, one]);
  });
});
