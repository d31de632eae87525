import { arrayKernels, type ElementNode, type Program } from "@mm/optim-core/backend";
import { beforeAll, describe, expect, test } from "vitest";
import { openDevice } from "../support/node.ts";
import { edges } from "../../../../test-support/numbers.ts";
import { agrees, flushed } from "./numbers.ts";
import { program, runPasses } from "../../../../test-support/programs.ts";
import { Rig, updateOnDevice } from "./rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = new Rig(await openDevice());
});

/** Every pair of edges. */
const pairs = edges.flatMap((a) => edges.map((b) => [a, b] as const));
const left = Float32Array.from(pairs, ([a]) => a);
const right = Float32Array.from(pairs, ([, b]) => b);

const unary = ["neg", "sqrt", "abs", "sign"] as const;
const binary = ["add", "sub", "mul", "div", "min", "max"] as const;
const comparisons = ["gt", "lt", "eq"] as const;
const ulpsOf = (op: string): number => (op === "sqrt" || op === "div" ? 3 : 0);

function reference(
  it: Program,
  param: Float32Array,
  grad: Float32Array,
  uniforms: Float32Array,
): Float32Array {
  const next = param.slice();
  runPasses(arrayKernels(), "update", it, [next, grad], uniforms);
  return next;
}

/** The elements of `left` and `right`, each uniform in a parameter of its own, that disagree with the reference. */
async function disagreements(
  it: Program,
  ulps: number,
  uniforms: readonly number[] = [0],
): Promise<unknown[]> {
  const found = await updateOnDevice(
    rig,
    it,
    "vec4",
    uniforms.map((uniform) => ({
      param: left,
      grad: right,
      slots: [],
      uniforms: [uniform].slice(0, it.uniforms.length),
    })),
  );
  return uniforms.flatMap((uniform, index) => {
    const exact = reference(it, left, right, Float32Array.of(uniform));
    const coarse = reference(it, left.map(flushed), right.map(flushed), Float32Array.of(flushed(uniform)));
    return Array.from(found[index]!.param).flatMap((value, i) =>
      agrees(value, exact[i]!, ulps) || agrees(flushed(value), coarse[i]!, ulps)
        ? []
        : [{ a: left[i], b: right[i], uniform, value, expected: exact[i] }],
    );
  });
}

describe("each operation means what the reference means, subnormals apart", () => {
  test.each(unary)("%s of every edge", async (op) => {
    const nodes: ElementNode[] = [{ op: "grad" }, { op, a: 0 }];
    expect(await disagreements(program(nodes, { param: 1 }), ulpsOf(op))).toEqual([]);
  });

  test.each(binary)("%s of every pair of edges", async (op) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "grad" }, { op, a: 0, b: 1 }];
    expect(await disagreements(program(nodes, { param: 2 }), ulpsOf(op))).toEqual([]);
  });

  test.each(binary)("%s of a tensor and every edge as a scalar", async (op) => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "uniform", uniform: 0 }, { op, a: 0, b: 1 }];
    expect(await disagreements(program(nodes, { param: 2 }), ulpsOf(op), edges)).toEqual([]);
  });

  test.each([...unary, ...binary])("%s of a scalar, the same for all elements", async (op) => {
    const nodes: ElementNode[] = [
      { op: "grad" },
      { op: "uniform", uniform: 0 },
      { op: "const", value: 3 },
      op === "neg" || op === "sqrt" || op === "abs" || op === "sign" ? { op, a: 1 } : { op, a: 1, b: 2 },
    ];
    expect(await disagreements(program(nodes, { param: 3 }), ulpsOf(op), edges)).toEqual([]);
  });

  test.each(comparisons)("select by %s, of every pair of edges", async (op) => {
    const nodes: ElementNode[] = [
      { op: "param" },
      { op: "grad" },
      { op, a: 0, b: 1 },
      { op: "const", value: 7 },
      { op: "select", condition: 2, a: 1, b: 3 },
    ];
    expect(await disagreements(program(nodes, { param: 4 }), 0)).toEqual([]);
  });

  test("select by a comparison of scalars", async () => {
    const nodes: ElementNode[] = [
      { op: "param" },
      { op: "grad" },
      { op: "uniform", uniform: 0 },
      { op: "const", value: 0 },
      { op: "gt", a: 2, b: 3 },
      { op: "select", condition: 4, a: 0, b: 1 },
    ];
    expect(await disagreements(program(nodes, { param: 5 }), 0, edges)).toEqual([]);
  });
});

test("sign, max and min by hand: sign(−0) is +0, max(−0, scalar 0) keeps −0, NaN stays", async () => {
  const x = Float32Array.of(-0, -2, NaN, 5);
  const y = Float32Array.of(0, NaN, 1, -5);
  const nodes: ElementNode[] = [
    { op: "param" },
    { op: "slot", slot: 0 },
    { op: "const", value: 0 },
    { op: "grad" },
    { op: "sign", a: 0 },
    { op: "max", a: 1, b: 2 },
    { op: "min", a: 0, b: 3 },
  ];
  const it = program(nodes, { param: 4, slots: [5, 6] });
  const [found] = await updateOnDevice(rig, it, "scalar", [{ param: x, grad: y, slots: [x, y] }]);
  expect([...found!.param]).toEqual([0, -1, NaN, 1]);
  expect([...found!.slots[0]!]).toEqual([-0, 0, NaN, 5]);
  expect([...found!.slots[1]!]).toEqual([-0, NaN, NaN, -5]);
});
