import {
  add,
  defineUpdateRule,
  div,
  dot,
  largest,
  max,
  mul,
  norm,
  perColumn,
  perRow,
  sub,
  sum,
  type Tensor,
} from "@mm/optim-core/rule";
import { sgd } from "@mm/optim-rules";
import { createArena, webgpuOptimizer } from "@mm/optim-webgpu";
import { beforeAll, describe, expect, test } from "vitest";
import { randomNumbers } from "../../../test-support/numbers.ts";
import { besideReference, lengthsOf, type Shapes, valuesFor } from "./support/beside-reference.ts";
import { countDevice } from "./support/counted.ts";
import { openDevice } from "./support/node.ts";
import { adafactor } from "./support/shaped-rules.ts";

let device: GPUDevice;
beforeAll(async () => {
  device = await openDevice();
});

// A row, a column, less and more than a tile of 4096 and than 256 columns; starts of rows that are no multiples of 4.
const shapes: Shapes = {
  row: [1, 7],
  column: [9, 1],
  small: [3, 5],
  tall: [1500, 3],
  flat: [2, 2100],
  square: [64, 64],
  odd: [67, 259],
};

const only = (params: object): Shapes =>
  Object.fromEntries(Object.entries(shapes).filter(([name]) => Object.hasOwn(params, name)));

/**
 * Sums of some hundred float32 in float32, relative error a few 1e-7, in roots and quotients of numbers near 1, five updates of 0.1 each.
 */
const bound = 1e-5;

describe("slots and sums per row and column beside the reference", () => {
  test.each(["arena", "buffers"] as const)("Adafactor, five updates, %s", async (home) => {
    const found = await besideReference(device, adafactor(), shapes, (params) => [{ params, shapes }], {
      home,
    });
    expect(found.parameters).toBeLessThanOrEqual(bound);
    expect(found.slots).toBeLessThanOrEqual(bound);
  });

  test.each(["arena", "buffers"] as const)(
    "adaptive clipping of rules with and without rows, %s",
    async (home) => {
      const found = await besideReference(
        device,
        sgd({ lr: 0.1, momentum: 0.9 }),
        shapes,
        ({ small, odd, ...others }) => [
          { params: others, shapes: only(others) },
          { params: { small: small!, odd: odd! }, shapes: only({ small, odd }), rule: adafactor() },
        ],
        { home, options: { clipGrad: { type: "adaptive", clipFactor: 0.5 }, lossScale: "dynamic" } },
      );
      expect(found.parameters).toBeLessThanOrEqual(bound);
      expect(found.slots).toBeLessThanOrEqual(bound);
    },
  );

  test("steps that are skipped change nothing, slots per row and column neither", async () => {
    const some: Shapes = { small: [3, 5], odd: [67, 259] };
    const found = await besideReference(device, adafactor(), some, (params) => [{ params, shapes: some }], {
      options: { lossScale: "dynamic", clipGrad: { maxNorm: 3 } },
      gradients(all, random, update) {
        const values = valuesFor(all, random);
        if (update % 2 === 1) values["odd"]![5] = NaN;
        return values;
      },
    });
    expect(found.parameters).toBeLessThanOrEqual(bound);
    expect(found.slots).toBeLessThanOrEqual(bound);
  });

  const reduced: readonly (readonly [string, (g: Tensor, p: Tensor) => Tensor])[] = [
    ["sums", (g) => mul(sum(g, "row"), sum(g, "column"))],
    ["dot products with the parameter", (g, p) => add(dot(g, p, "row"), dot(p, g, "column"))],
    ["the largest", (g) => mul(largest(g, "row"), largest(g, "column"))],
    ["sums per row of what sums per column divide", (g) => add(g, sum(div(g, largest(g, "column")), "row"))],
    [
      "a sum of sums per column, and the norm of sums per row",
      (g) => mul(g, div(sum(sum(g, "column")), norm(sum(g, "row")))),
    ],
    [
      "what differs along rows and columns, elementwise",
      (g) => max(mul(g, sum(g, "row")), sub(sum(g, "column"), largest(g, "row"))),
    ],
  ];
  test.each(reduced)("%s", async (_, of) => {
    const rule = defineUpdateRule({
      name: "Reduced",
      shapes: "matrix",
      hyperparameters: { lr: 1 },
      slots: () => ({ found: 0, ofRows: perRow(1), ofColumns: perColumn(2) }),
      update: ({ param, grad, ofRows, ofColumns }) => {
        const found = of(grad, param);
        // Scaled to what a tensor of sums of n terms is, so that one bound holds for all.
        const share = div(found, add(1, largest(found)));
        return {
          param,
          found: share,
          ofRows: add(mul(0.5, ofRows), largest(share, "row")),
          ofColumns: add(mul(0.5, ofColumns), largest(share, "column")),
        };
      },
    });
    const found = await besideReference(device, rule(), shapes, (params) => [{ params, shapes }], {
      updates: 2,
    });
    expect(found.slots).toBeLessThanOrEqual(bound);
  });
});

test("a step of an arena takes as many dispatches as its rule has passes, however many tensors there are", async () => {
  const own = await openDevice();
  const { row: _row, column: _column, ...shapesOf } = shapes;
  const arena = createArena(own, lengthsOf(shapesOf));
  const counted = countDevice(own);
  const optimizer = webgpuOptimizer(adafactor(), [{ params: arena, shapes: shapesOf }] as never, {
    device: own,
  });
  optimizer.writeGradients(
    Object.fromEntries(
      Object.entries(lengthsOf(shapesOf)).map(([name, length]) => [name, new Float32Array(length).fill(1)]),
    ),
  );
  for (let i = 0; i < 3; i += 1) optimizer.step();
  counted.reset();
  optimizer.step();
  // prepare; ‖θ‖; Σg² per row; Σg² per column, by groups and together; scalars; Σ of the next rows; scalars; ‖u‖; scalars; elements, rows, columns.
  expect(counted.counts).toMatchObject({
    dispatches: 13,
    submits: 1,
    writeBuffer: 0,
    createBuffer: 0,
    createBindGroup: 0,
    createShaderModule: 0,
    copies: 0,
  });
});

describe("states", () => {
  const two: Shapes = { small: [3, 5], odd: [67, 259] };
  const values = valuesFor(two, randomNumbers(8));
  const build = (dtype: "float32" | "float16" = "float32") => {
    const arena = createArena(device, lengthsOf(two), { dtype });
    const optimizer = webgpuOptimizer(adafactor(), [{ params: arena, shapes: two }] as never, { device });
    optimizer.writeParameters(values);
    return optimizer;
  };
  const train = (optimizer: ReturnType<typeof build>): void => {
    optimizer.writeGradients(values);
    optimizer.step();
    optimizer.zeroGrad();
  };

  test("have slots per row and column, and another optimizer goes on from them to the bit", async () => {
    const [first, second] = [build(), build()];
    train(first);
    const saved = await first.stateDict();
    expect(saved.params.map(({ slots }) => [slots["rowVar"]!.length, slots["colVar"]!.length])).toEqual([
      [3, 5],
      [67, 259],
    ]);
    second.prepareLoad(saved).commit();
    second.writeParameters(await first.readParameters());
    train(first);
    train(second);
    expect(await second.readParameters()).toEqual(await first.readParameters());
    expect((await second.stateDict()).params).toEqual((await first.stateDict()).params);
  });

  test("of parameters in float16 are those of their master weights", async () => {
    const [wide, narrow] = [build(), build("float16")];
    for (const optimizer of [wide, narrow]) {
      train(optimizer);
      train(optimizer);
    }
    expect(await narrow.readParameters()).toEqual(await wide.readParameters());
  });
});
