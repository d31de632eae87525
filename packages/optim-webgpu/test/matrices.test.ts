import { createOptimWrapper } from "@mm/optim-core";
import { adamw, lamb } from "@mm/optim-rules";
import { createArena, webgpuOptimizer, type WebgpuParameters } from "@mm/optim-webgpu";
import { beforeAll, describe, expect, test } from "vitest";
import { randomNumbers } from "../../../test-support/numbers.ts";
import {
  arenaWith,
  besideReference,
  type GroupsOf,
  lengthsOf,
  type Shapes,
  valuesFor,
} from "./support/beside-reference.ts";
import { countDevice } from "./support/counted.ts";
import { withLimits } from "./support/limits.ts";
import { openDevice } from "./support/node.ts";
import { muon } from "./support/shaped-rules.ts";

let device: GPUDevice;
beforeAll(async () => {
  device = await openDevice();
});

/**
 * A sum of products in another order, and one rounding for a product and a sum, leave about 1e-6 of each element of an orthogonalized matrix after
 * five Newton–Schulz steps, which stretch small singular values by 3.4445 each. The rates here are 1/2 at most times √(rows ÷ cols) < 2.
 */
const bound = 1e-5;

// Smaller and larger than the tiles of 32, flat, tall and square, several of one shape, and a row.
const shapes: Shapes = {
  a: [12, 30],
  b: [30, 12],
  c: [33, 33],
  d: [12, 30],
  e: [1, 7],
  f: [40, 70],
  g: [70, 40],
};

const all: GroupsOf = (params) => [{ params, shapes }];

describe("Muon beside the reference", () => {
  test("matrices of several shapes, five updates", async () => {
    const found = await besideReference(device, muon({ lr: 0.25 }), shapes, all);
    expect(found.parameters).toBeLessThanOrEqual(bound);
    expect(found.slots).toBeLessThanOrEqual(1e-6);
  });

  test("with other rules in other groups, whose passes share dispatches of `prepare norms`", async () => {
    const rest: Shapes = { bias: [9], gain: [4097], empty: [0] };
    const groups: GroupsOf = ({ bias, gain, empty, ...matrices }) => [
      { params: matrices, shapes, rule: muon({ lr: 0.25 }) },
      { params: { bias: bias!, empty: empty! } },
      { params: { gain: gain! }, rule: lamb() },
    ];
    const found = await besideReference(device, adamw(), { ...shapes, ...rest }, groups, {
      options: { clipGrad: { maxNorm: 1 } },
    });
    expect(found.parameters).toBeLessThanOrEqual(bound);
  });
});

test("a step of an arena takes 15 dispatches for each shape, and 5 for all of them", async () => {
  const own = await openDevice();
  const arena = createArena(own, lengthsOf(shapes)) as WebgpuParameters;
  const counted = countDevice(own);
  const optimizer = webgpuOptimizer(muon(), [{ params: arena, shapes }] as never, { device: own });
  const gradients = Object.fromEntries(
    Object.entries(lengthsOf(shapes)).map(([name, length]) => [name, new Float32Array(length).fill(1)]),
  );
  optimizer.writeGradients(gradients);
  for (let i = 0; i < 3; i += 1) optimizer.step();
  counted.reset();
  optimizer.step();
  // 12 × 30 (two of them), 30 × 12, 33 × 33, 1 × 7, 40 × 70, 70 × 40.
  const distinct = 6;
  // `prepare`; the norm of the operand, and the scalars that follow from it; the operand; the update. Then 5 steps of 3 products.
  expect(counted.counts).toMatchObject({
    dispatches: 5 + distinct * 5 * 3,
    passes: 1,
    submits: 1,
    // Nothing has changed that the host would have to say.
    writeBuffer: 0,
    createBuffer: 0,
    createBindGroup: 0,
    createShaderModule: 0,
    createComputePipeline: 0,
    copies: 0,
    clears: 0,
  });
});

describe("devices that bind little", () => {
  test("matrices whose products are more than one binding take turns", async () => {
    // 2·16² elements are 2048 bytes a matrix: two at a time in 4096.
    const small = withLimits(await openDevice(), { maxStorageBufferBindingSize: 4096 });
    const five: Shapes = Object.fromEntries(["a", "b", "c", "d", "e"].map((name) => [name, [16, 32]]));
    const found = await besideReference(small, muon({ lr: 0.25 }), five, (params) => [
      { params, shapes: five },
    ]);
    expect(found.parameters).toBeLessThanOrEqual(bound);
  });

  test("a matrix whose products are more than one binding is refused, by its size", async () => {
    const small = withLimits(await openDevice(), { maxStorageBufferBindingSize: 4096 });
    const arena = createArena(small, { w: 23 * 24 }) as WebgpuParameters;
    expect(() =>
      webgpuOptimizer(muon(), [{ params: arena, shapes: { w: [23, 24] } }] as never, { device: small }),
    ).toThrow(/shorter side is at most 22, .*got .*23.*24/);
  });
});

test("a step that is skipped changes nothing, and the next one is as if it had not been", async () => {
  const pair: Shapes = { a: [12, 30], b: [33, 33] };
  const found = await besideReference(
    device,
    muon({ lr: 0.25 }),
    pair,
    (params) => [{ params, shapes: pair }],
    {
      options: { lossScale: "dynamic" },
      gradients(shapesOfAll, random, update) {
        const values = valuesFor(shapesOfAll, random);
        if (update === 1) values["a"]![7] = Number.POSITIVE_INFINITY;
        return values;
      },
    },
  );
  // Step counts, four of five, have been compared too.
  expect(found.parameters).toBeLessThanOrEqual(bound);
  expect(found.slots).toBeLessThanOrEqual(1e-6);
});

test("a frozen matrix stays, and those of its shape go on without it", async () => {
  const two: Shapes = { a: [4, 8], b: [4, 8] };
  const values = valuesFor(two, randomNumbers(3));
  const arena = arenaWith(device, values);
  const groups = [{ params: arena, shapes: two }] as never;
  const optim = createOptimWrapper(webgpuOptimizer(muon({ lr: 0.25 }), groups, { device }));
  optim.optimizer.writeGradients({ a: values["a"]!, b: values["b"]! });
  optim.step();
  const before = await optim.optimizer.readParameters();
  // Without a gradient a parameter takes no part.
  optim.zeroGrad();
  optim.optimizer.writeGradients({ b: values["b"]! });
  optim.step();
  const after = await optim.optimizer.readParameters();
  expect(after["a"]).toEqual(before["a"]);
  expect(after["b"]).not.toEqual(before["b"]);
  expect((await optim.optimizer.stateDict()).params.map(({ step }) => step)).toEqual([1, 2]);
  optim.dispose();
});

test("in float16 the master weights are those of float32", async () => {
  const shape: Shapes = { w: [9, 21] };
  const values = valuesFor(shape, randomNumbers(4));
  // float16 holds multiples of 1/8 up to 256 exactly.
  const start = values["w"]!.map((value) => Math.max(-8, Math.min(8, Math.round(8 * value) / 8)));
  const wide = arenaWith(device, { w: start });
  const arena = createArena(device, { w: start.length }, { dtype: "float16" }) as WebgpuParameters;
  const [mine, reference] = [arena, wide].map((params) =>
    webgpuOptimizer(muon({ lr: 0.25 }), [{ params, shapes: shape }] as never, { device }),
  );
  mine!.writeParameters({ w: start });
  for (const optimizer of [mine!, reference!]) {
    optimizer.writeGradients(values);
    optimizer.step();
    optimizer.step();
  }
  expect(await mine!.readParameters()).toEqual(await reference!.readParameters());
});
