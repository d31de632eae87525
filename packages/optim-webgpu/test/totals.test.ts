import {
  abs,
  add,
  defineUpdateRule,
  div,
  dot,
  max,
  mul,
  norm,
  sqrt,
  sub,
  sum,
  total,
} from "@mm/optim-core/rule";
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

/** Prodigy (Mishchenko and Defazio, arXiv:2306.06101): one step size for all tensors, from sums over them. */
const prodigy = defineUpdateRule({
  name: "Prodigy",
  hyperparameters: { lr: 1, beta1: 0.9, beta2: 0.999, d0: 1e-2 },
  slots: () => ({ p0: "param", s: 0, m: 0, v: 0 }),
  scalarSlots: ({ d0 }) => ({ d: d0, numerator: 0 }),
  update({ param, grad, p0, s, m, v, d, numerator }, { lr, beta1, beta2, d0 }) {
    const beta3 = sqrt(beta2);
    const gain = mul(div(d, d0), mul(d, lr));
    const nextS = add(mul(beta3, s), mul(gain, grad));
    const found = add(mul(beta3, numerator), total(mul(gain, dot(grad, sub(p0, param)))));
    const next = max(d, div(found, total(sum(abs(nextS)))));
    const nextM = add(mul(beta1, m), mul(mul(d, sub(1, beta1)), grad));
    const nextV = add(mul(beta2, v), mul(mul(mul(d, d), sub(1, beta2)), mul(grad, grad)));
    return {
      param: sub(param, mul(mul(d, lr), div(nextM, add(sqrt(nextV), mul(next, 1e-8))))),
      p0,
      s: nextS,
      m: nextM,
      v: nextV,
      d: next,
      numerator: found,
    };
  },
});

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
