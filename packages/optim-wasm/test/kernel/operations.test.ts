import type { ElementNode } from "@mm/optim-core/backend";
import { describe, expect, test } from "vitest";
import { anyArray, compareUpdate, edges, Heap, lengths, program, randomNumbers } from "./fixtures.ts";

/** Every pair of edges: 24 × 24 elements. */
const pairs = edges.flatMap((a) => edges.map((b) => [a, b] as const));
const left = Float32Array.from(pairs, ([a]) => a);
const right = Float32Array.from(pairs, ([, b]) => b);
const none = new Float32Array(0);

const unary = ["neg", "sqrt", "abs", "sign"] as const;
const binary = ["add", "sub", "mul", "div", "min", "max"] as const;
const comparisons = ["gt", "lt", "eq"] as const;

describe("each operation equals the reference to the bit", () => {
  test.each(unary)("%s of every edge", (op) => {
    const nodes: ElementNode[] = [{ op: "grad" }, { op, a: 0 }];
    compareUpdate(program(nodes, { param: 1 }), left, right, [], none);
  });

  test.each(binary)("%s of every pair of edges", (op) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "grad" }, { op, a: 0, b: 1 }];
    compareUpdate(program(nodes, { param: 2 }), left, right, [], none);
  });

  test.each(binary)("%s of a tensor and every edge as a scalar", (op) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "uniform", uniform: 0 }, { op, a: 0, b: 1 }];
    for (const edge of edges)
      compareUpdate(program(nodes, { param: 2 }), left, right, [], Float32Array.of(edge));
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
    for (const [a, b] of pairs) {
      const few = edges.slice(0, 7).map(Math.fround);
      compareUpdate(
        it,
        new Float32Array(few),
        new Float32Array(few),
        [new Float32Array(7)],
        Float32Array.of(a, b),
      );
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
    compareUpdate(program(nodes, { param: 4 }), left, right, [], none);
  });

  test("select by a scalar comparison", () => {
    const nodes: ElementNode[] = [
      { op: "param" },
      { op: "grad" },
      { op: "uniform", uniform: 0 },
      { op: "const", value: 0 },
      { op: "gt", a: 2, b: 3 },
      { op: "select", condition: 4, a: 0, b: 1 },
    ];
    for (const edge of edges)
      compareUpdate(program(nodes, { param: 5 }), left, right, [], Float32Array.of(edge));
  });
});

test("sign and max by hand: sign(−0) is +0, max(−0, scalar 0) keeps −0, NaN stays", () => {
  const heap = new Heap();
  const param = heap.vector(Float32Array.of(-0, -2, NaN, 2 ** -149, 5));
  const slot = heap.vector(Float32Array.of(-0, -2, NaN, 2 ** -149, 5));
  const nodes: ElementNode[] = [
    { op: "param" },
    { op: "slot", slot: 0 },
    { op: "const", value: 0 },
    { op: "sign", a: 0 },
    { op: "max", a: 1, b: 2 },
  ];
  heap.kernels.update(program(nodes, { param: 3, slots: [4] }), param, param, [slot], none);
  expect([...heap.read(param)]).toEqual([0, -1, NaN, 1, 1]);
  expect([...heap.read(slot)]).toEqual([-0, 0, NaN, 2 ** -149, 5]);
});

describe("what is written", () => {
  const random = randomNumbers(1);

  test.each(lengths)("a constant into a slot, the parameter untouched, %i elements", (length) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "const", value: 0.1 }];
    const it = program(nodes, { param: 0, slots: [1] });
    compareUpdate(it, anyArray(random, length), anyArray(random, length), [anyArray(random, length)], none);
  });

  test("nothing, where a rule changes nothing", () => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "slot", slot: 0 }];
    compareUpdate(program(nodes, { param: 0, slots: [1] }), left, right, [right], none);
  });

  test.each(lengths)("two slots that change places, %i elements", (length) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "slot", slot: 0 }, { op: "slot", slot: 1 }];
    const slots = [anyArray(random, length), anyArray(random, length)];
    compareUpdate(
      program(nodes, { param: 0, slots: [2, 1] }),
      anyArray(random, length),
      anyArray(random, length),
      slots,
      none,
    );
  });
});
