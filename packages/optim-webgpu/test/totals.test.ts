import { add, defineUpdateRule, div, mul, norm, sub, total } from "@mm/optim-core/rule";
import { dAdaptAdam, prodigy as prodigyRule } from "@mm/optim-rules";
import { createArena, webgpuOptimizer } from "@mm/optim-webgpu";
import { beforeAll, describe, expect, test } from "vitest";
import {
  besideReference,
  lengthsOf,
  type Shapes,
  type Values,
  valuesFor,
} from "./support/beside-reference.ts";
import { countDevice } from "./support/counted.ts";
import { openDevice } from "./support/node.ts";

let device: GPUDevice;
beforeAll(async () => {
  device = await openDevice();
});

const prodigy = () => prodigyRule({ d0: 1e-2 });
const shapes: Shapes = { a: [40], b: [7], c: [9001], none: [0] };

describe("sums over the tensors of a rule beside the reference", () => {
  test("Prodigy, eight updates", async () => {
    // The gradient points away from 0, so that the distance grows.
    const found = await besideReference(device, prodigy(), shapes, (params) => [{ params }], { updates: 8 });
    // Sums in float32, relative error 1e-6, in a step size that all elements of size 1 follow.
    expect(found.parameters).toBeLessThanOrEqual(1e-5);
    expect(found.scalars).toBeLessThanOrEqual(1e-5);
  });

  test("steps that are skipped add nothing, and tensors without a gradient neither", async () => {
    const found = await besideReference(device, prodigy(), shapes, (params) => [{ params }], {
      updates: 6,
      options: { lossScale: "dynamic" },
      gradients(all, random, update) {
        const values: Values = valuesFor(all, random);
        if (update === 2) values["c"]![0] = NaN;
        const { b, ...others } = values;
        return update === 4 ? others : { ...others, b: b! };
      },
    });
    expect(found.parameters).toBeLessThanOrEqual(1e-5);
    expect(found.scalars).toBeLessThanOrEqual(1e-5);
  });

  test("D-Adaptation's Adam, of which one tensor joins later", async () => {
    const found = await besideReference(
      device,
      dAdaptAdam({ d0: 1e-2, eps: 1e-2 }),
      shapes,
      ({ a, b, c, none }) => [{ params: { a: a!, c: c! } }, { params: { b: b!, none: none! } }],
      {
        updates: 6,
        gradients(all, random, update) {
          const { c, ...others } = valuesFor(all, random);
          return update < 3 ? others : { ...others, c: c! };
        },
      },
    );
    expect(found.parameters).toBeLessThanOrEqual(1e-5);
    expect(found.scalars).toBeLessThanOrEqual(1e-5);
  });

  /** With `measures` a norm comes before the sum, which then is known later. */
  const shared = defineUpdateRule({
    name: "Shared",
    hyperparameters: { lr: 0.1, measures: false },
    scalarSlots: () => ({ all: 0 }),
    update({ param, grad, all }, { lr }, { measures }) {
      const size = measures ? norm(div(grad, add(1, norm(grad)))) : norm(grad);
      const everything = total(size);
      const twice = total(mul(size, everything));
      return { param: sub(param, mul(div(lr, everything), grad)), all: add(mul(0.5, all), twice) };
    },
  });

  test("structures of one rule share sums, also where one of them takes longer to find its share", async () => {
    const found = await besideReference(device, shared(), shapes, ({ a, b, c, none }) => [
      { params: { a: a!, c: c! } },
      { params: { b: b!, none: none! }, measures: true } as never,
    ]);
    expect(found.parameters).toBeLessThanOrEqual(1e-5);
    expect(found.scalars).toBeLessThanOrEqual(1e-5);
  });
});

test("sums over tensors take two dispatches, however many tensors there are", async () => {
  const own = await openDevice();
  const arena = createArena(own, lengthsOf(shapes));
  const counted = countDevice(own);
  const optimizer = webgpuOptimizer(prodigy(), arena, { device: own });
  optimizer.writeGradients(
    Object.fromEntries(
      Object.entries(lengthsOf(shapes)).map(([name, length]) => [name, new Float32Array(length).fill(1)]),
    ),
  );
  for (let i = 0; i < 3; i += 1) optimizer.step();
  counted.reset();
  optimizer.step();
  // prepare; sums of each tensor, and scalars; sums over tensors, and scalars; update.
  expect(counted.counts).toMatchObject({ dispatches: 6, submits: 1, createBuffer: 0, createBindGroup: 0 });
});
