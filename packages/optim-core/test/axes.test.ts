import { createOptimWrapper } from "@mm/optim-core";
import {
  add,
  defineUpdateRule,
  div,
  dot,
  largest,
  mul,
  norm,
  orthogonalize,
  perColumn,
  perRow,
  sub,
  sum,
  type Tensor,
  total,
  type UpdateInputs,
} from "@mm/optim-core/rule";
import { describe, expect, test } from "vitest";
import { refusal } from "../../../test-support/refusal.ts";
import { arrayOptimizer, gradients } from "./backend.ts";

/** A rule whose next parameter is what `update` makes of the gradient, a matrix. */
const shaped = (update: (x: UpdateInputs<never, never>) => Tensor, shapes: "matrix" | "either" = "matrix") =>
  defineUpdateRule({
    name: "Shaped",
    shapes,
    hyperparameters: { lr: 1 },
    update: (x) => ({ param: update(x) }),
  })();

/** The parameter after a step with a gradient of two rows and three columns. */
function after(
  update: Parameters<typeof shaped>[0],
  gradient = [1, 2, 3, 4, 5, 6],
  shape = [2, 3],
): number[] {
  const w = new Float32Array(gradient.length);
  const optimizer = arrayOptimizer(shaped(update), [{ params: { w }, shapes: { w: shape } }]);
  const wrapper = createOptimWrapper(optimizer);
  wrapper.updateParams(gradients({ w: gradient }));
  return [...w];
}

const spread = (x: Tensor): Tensor => sub(x, x);

describe("one number per row, per column and per tensor, of [[1, 2, 3], [4, 5, 6]]", () => {
  test.each([
    ["sum per row: 6, 15", (g: Tensor) => sum(g, "row"), [6, 6, 6, 15, 15, 15]],
    ["sum per column: 5, 7, 9", (g: Tensor) => sum(g, "column"), [5, 7, 9, 5, 7, 9]],
    ["sum: 21", (g: Tensor) => sum(g), [21, 21, 21, 21, 21, 21]],
    ["dot per row: 14, 77", (g: Tensor) => dot(g, g, "row"), [14, 14, 14, 77, 77, 77]],
    ["dot per column: 17, 29, 45", (g: Tensor) => dot(g, g, "column"), [17, 29, 45, 17, 29, 45]],
    ["largest per row of −g: 3, 6", (g: Tensor) => largest(mul(g, -1), "row"), [3, 3, 3, 6, 6, 6]],
    ["largest per column", (g: Tensor) => largest(g, "column"), [4, 5, 6, 4, 5, 6]],
    [
      "the outer product of sums: 6·5 … 15·9",
      (g: Tensor) => mul(sum(g, "row"), sum(g, "column")),
      [30, 42, 54, 75, 105, 135],
    ],
    ["a sum of sums per row: 21", (g: Tensor) => sum(sum(g, "row")), [21, 21, 21, 21, 21, 21]],
    ["a norm of what a norm divides: 1", (g: Tensor) => norm(div(g, norm(g))), [1, 1, 1, 1, 1, 1]],
  ] as const)("%s", (_, of, expected) => {
    expect(after(({ param, grad }) => add(spread(param), of(grad)))).toEqual(expected);
  });

  test("rows, cols and size are those of the matrix, outputs by all else", () => {
    const of = ({ param, rows, cols, size }: UpdateInputs<never, never>): Tensor =>
      add(spread(param), add(mul(100, rows), add(mul(10, cols), size)));
    // 100·2 + 10·3 + 6, and a kernel of 2 outputs by 3·1·2: 100·2 + 10·6 + 12.
    expect(after(of)).toEqual(Array(6).fill(236));
    expect(after(of, Array<number>(12).fill(0), [2, 3, 1, 2])).toEqual(Array(12).fill(272));
  });
});

test("orthogonalize: a diagonal matrix of equal elements becomes that of equal singular values near 1", () => {
  // x = diag(3, 3): ‖x‖ = 4.243, X = 0.7071·I. One step: aX + bX³ + cX⁵ with s = 0.70711:
  // 3.4445·0.70711 − 4.775·0.35355 + 2.0315·0.17678 = 1.10653.
  const [a, b, c, d] = after(
    ({ grad }) => orthogonalize(grad, { coefficients: [[3.4445, -4.775, 2.0315]] }),
    [3, 0, 0, 3],
    [2, 2],
  );
  expect([b, c]).toEqual([0, 0]);
  expect(a).toBe(d);
  expect(a).toBeCloseTo(1.10653, 5);
  // A tall one is turned meanwhile, and turned back.
  const tall = after(({ grad }) => orthogonalize(grad), [2, 0, 0, 2, 0, 0], [3, 2]);
  expect(tall[1]).toBe(0);
  expect(tall[0]).toBe(tall[3]);
  expect(tall[0]).toBeGreaterThan(0.6);
  expect(tall[0]).toBeLessThan(1.3);
});

test("total is the sum over the tensors that step, the same for all of them", () => {
  const rule = defineUpdateRule({
    name: "Total",
    hyperparameters: { lr: 1 },
    // Σ of all gradients, twice: the second total waits for the first.
    update({ param, grad }) {
      const all = total(sum(grad));
      return { param: add(sub(param, param), add(all, total(sum(mul(grad, all))))) };
    },
  });
  const [a, b, idle] = [new Float32Array(2), new Float32Array(1), Float32Array.of(7)];
  const optimizer = arrayOptimizer(rule(), { a, b, idle });
  createOptimWrapper(optimizer).updateParams(gradients({ a: [1, 2], b: [3] }));
  // 1 + 2 + 3 = 6, and 6 + 6·6 = 42. A tensor without a gradient neither adds nor moves.
  expect([...a, ...b, ...idle]).toEqual([42, 42, 42, 7]);
});

describe("slots per row and per column", () => {
  /** Averages of the gradient's sums: v ← v/2 + sum/2. The next parameter is their outer product. */
  const averaging = defineUpdateRule({
    name: "Averaging",
    shapes: "either",
    hyperparameters: { lr: 1 },
    slots: ({ matrix }) => (matrix === true ? { byRow: perRow(2), columns: perColumn() } : { all: 0 }),
    update({ param, grad, byRow, columns, all }, _, { matrix }) {
      if (matrix !== true) return { param: add(sub(param, param), all), all: add(all, grad) };
      const nextRows = mul(0.5, add(byRow, sum(grad, "row")));
      const nextColumns = mul(0.5, add(columns, sum(grad, "column")));
      return {
        param: add(sub(param, param), mul(nextRows, nextColumns)),
        byRow: nextRows,
        columns: nextColumns,
      };
    },
  });
  const build = (w: Float32Array) =>
    arrayOptimizer(averaging(), [{ params: { w, b: new Float32Array(2) }, shapes: { w: [2, 3] } }]);
  const loss = gradients({ w: [1, 2, 3, 4, 5, 6], b: [1, 1] });

  test("hold one number for each, and begin as declared", async () => {
    const w = new Float32Array(6);
    const optimizer = build(w);
    const wrapper = createOptimWrapper(optimizer);
    wrapper.updateParams(loss);
    // Rows: (2 + 6)/2 = 4, (2 + 15)/2 = 8.5. Columns: 5/2, 7/2, 9/2.
    const { params, version } = await optimizer.stateDict();
    expect(params[0]?.slots).toEqual({
      byRow: Float32Array.of(4, 8.5),
      columns: Float32Array.of(2.5, 3.5, 4.5),
    });
    expect([...w]).toEqual([10, 14, 18, 21.25, 29.75, 38.25]);
    // A reader of version 1 would find slots of another length than the parameter's.
    expect(version).toBe(2);
  });

  test("are saved, loaded and taken back to their beginning", async () => {
    const [w, v] = [new Float32Array(6), new Float32Array(6)];
    const [first, second] = [build(w), build(v)].map((optimizer) => createOptimWrapper(optimizer));
    const begun = await first?.stateDict();
    for (let step = 0; step < 3; step += 1) first?.updateParams(loss);
    const state = await first?.stateDict();
    if (first === undefined || second === undefined || state === undefined || begun === undefined) return;
    second.updateParams(loss);
    await second.loadStateDict(state);
    v.set(w);
    first.updateParams(loss);
    second.updateParams(loss);
    expect(v).toEqual(w);
    await second.loadStateDict(begun);
    second.updateParams(loss);
    expect([...v]).toEqual([10, 14, 18, 21.25, 29.75, 38.25]);
  });

  test("of another length are refused, and nothing has changed", async () => {
    const optimizer = build(new Float32Array(6));
    const wrapper = createOptimWrapper(optimizer);
    wrapper.updateParams(loss);
    const state = await optimizer.stateDict();
    const [entry, other] = state.params;
    if (entry === undefined || other === undefined) throw new Error("two parameters were expected");
    const slots = { ...entry.slots, byRow: new Float32Array(3) };
    const error = await refusal(() =>
      optimizer.prepareLoad({ ...state, params: [{ ...entry, slots }, other] }),
    );
    expect(error.code).toBe("state-mismatch");
    expect(error.message).toMatch(/w\.byRow: length/);
    expect((await optimizer.stateDict()).params).toEqual(state.params);
  });

  test("are along the same axis in every structure", () => {
    expect(() =>
      defineUpdateRule({
        name: "Turning",
        shapes: "either",
        hyperparameters: { lr: 1 },
        slots: ({ matrix }) => ({ v: matrix === true ? perRow() : 0 }),
        update: ({ param, v }) => ({ param, v }),
      }),
    ).toThrow(/slots\.v: expected one number per element in every structure/);
  });

  test("need shapes in the definition", () => {
    expect(() =>
      defineUpdateRule({
        name: "Flat",
        hyperparameters: { lr: 1 },
        slots: () => ({ rows_: perRow() }),
        update: ({ param, rows_ }) => ({ param, rows_ }),
      }),
    ).toThrow(/slots\.rows_: expected shapes: "matrix" or "either"/);
  });
});

test("what is one per row, and waits for a total, is that of the tensor itself", () => {
  const rule = defineUpdateRule({
    name: "RowsAndTotal",
    shapes: "matrix",
    hyperparameters: { lr: 1 },
    update({ param, grad }) {
      const rows = sum(grad, "row");
      return { param: add(spread(param), add(rows, total(sum(rows)))) };
    },
  });
  const [a, b] = [new Float32Array(4), new Float32Array(2)];
  const optimizer = arrayOptimizer(rule(), [{ params: { a, b }, shapes: { a: [2, 2], b: [2, 1] } }]);
  createOptimWrapper(optimizer).updateParams(gradients({ a: [1, 2, 3, 4], b: [10, 20] }));
  // Rows of 3 and 7, of 10 and 20: 40 together.
  expect([...a, ...b]).toEqual([43, 43, 47, 47, 50, 60]);
});

test("a rule with a total takes another structure, with more reductions, from one step to the next", () => {
  const rule = defineUpdateRule({
    name: "Switched",
    hyperparameters: { lr: 1, weightDecay: 0 },
    structure: ({ weightDecay }) => ({ decays: weightDecay !== 0 }),
    update({ param, grad }, _, { decays }) {
      const all = total(sum(grad));
      return { param: add(sub(param, param), decays ? add(all, norm(param)) : all) };
    },
  });
  const w = Float32Array.of(3, 4);
  const optimizer = arrayOptimizer(rule(), { w });
  const wrapper = createOptimWrapper(optimizer);
  wrapper.updateParams(gradients({ w: [1, 2] }));
  expect([...w]).toEqual([3, 3]);
  optimizer.paramGroups[0].weightDecay = 1;
  w.set([3, 4]);
  wrapper.updateParams(gradients({ w: [1, 2] }));
  // 1 + 2, and √(9 + 16).
  expect([...w]).toEqual([8, 8]);
});

describe("what a shape decides", () => {
  test("a rule for matrices refuses a vector by its name, and says what to do", async () => {
    const error = await refusal(() =>
      arrayOptimizer(
        shaped(({ param }) => param),
        { b: new Float32Array(4) },
      ),
    );
    expect(error.code).toBe("invalid-parameter");
    expect(error.message).toMatch(
      /"b".*two dimensions or more for Shaped.*shapes: \{ name: \[rows, cols\] \}/s,
    );
  });

  test("a rule for either is told which it is", () => {
    const rule = defineUpdateRule({
      name: "Either",
      shapes: "either",
      hyperparameters: { lr: 1 },
      update: ({ param, rows }, _, { matrix }) => ({
        param: add(sub(param, param), matrix === true ? rows : -1),
      }),
    })();
    const [w, b] = [new Float32Array(6), new Float32Array(2)];
    const optimizer = arrayOptimizer(rule, [{ params: { w, b }, shapes: { w: [3, 2] } }]);
    createOptimWrapper(optimizer).updateParams(gradients({ w: Array(6).fill(1), b: [1, 1] }));
    expect([...w, ...b]).toEqual([3, 3, 3, 3, 3, 3, -1, -1]);
  });

  test.each([
    ["another number of elements", { w: [2, 2] }, /a shape of its 6 elements/],
    ["a name that the group does not have", { v: [2, 3] }, /names of its params/],
    ["no shape", { w: 6 }, /shapes\.w/],
  ])("%s", async (_, shapes, message) => {
    const groups = [{ params: { w: new Float32Array(6) }, shapes: shapes as never }];
    expect(
      (
        await refusal(() =>
          arrayOptimizer(
            shaped(({ param }) => param),
            groups,
          ),
        )
      ).message,
    ).toMatch(message);
  });

  test("the shape is the parameter's, in what is told of it and in its state", async () => {
    const optimizer = arrayOptimizer(
      shaped(({ param }) => param),
      [{ params: { w: new Float32Array(6) }, shapes: { w: [2, 3] } }],
    );
    expect(optimizer.parameters[0]?.shape).toEqual([2, 3]);
    expect((await optimizer.stateDict()).params[0]?.shape).toEqual([2, 3]);
  });
});
