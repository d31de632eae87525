import { createAmpOptimWrapper, createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam, ema, lamb } from "@mm/optim-rules";
import { createArena, webgpuOptimizer, type WebgpuLoss, type WebgpuParameters } from "@mm/optim-webgpu";
import { describe, expect, test } from "vitest";
import { type CountedDevice, countDevice } from "./support/counted.ts";
import { liveObjects } from "../../../test-support/live-objects.ts";
import { withLimits } from "./support/limits.ts";
import { openDevice } from "./support/node.ts";
import { storageBuffer } from "./support/read.ts";

const amp: OptimWrapperOptions = { lossScale: "dynamic", clipGrad: { maxNorm: 1 } };

/** Asks for every gradient and records one pass of its own with one dispatch. */
function closureOf(device: GPUDevice, names: readonly string[]): WebgpuLoss {
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: "@compute @workgroup_size(1) fn main() {}" }) },
  });
  return ({ encoder, grad }) => {
    for (const name of names) grad(name);
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.dispatchWorkgroups(1);
    pass.end();
    return undefined;
  };
}

/** The calls of an update on the device, the closure's one dispatch left out, once nothing new is needed. */
function inSteadyState(
  counted: CountedDevice,
  update: () => void,
): Partial<CountedDevice["counts"]> & { readonly nothing: number } {
  for (let i = 0; i < 3; i += 1) update();
  counted.reset();
  update();
  const { dispatches, submits, writeBuffer, ...counts } = counted.counts;
  const nothing =
    counts.createBuffer +
    counts.createBindGroup +
    counts.createShaderModule +
    counts.createComputePipeline +
    counts.mapAsync +
    counts.copies;
  return { dispatches: dispatches - 1, submits, writeBuffer, nothing };
}

const lengths = (count: number, length: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, length]));

function buffersOf(device: GPUDevice, count: number): WebgpuParameters {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`p${index}`, storageBuffer(device, new Float32Array(101))]),
  );
}

describe("an evaluation point", () => {
  test.each([1, 50])(
    "of %d parameters in an arena: one dispatch and one submission in, and so out",
    async (count) => {
      const device = await openDevice();
      const arena = createArena(device, lengths(count, 100));
      const counted = countDevice(device);
      const optim = createOptimWrapper(webgpuOptimizer(ema(adam()), arena, { device }));
      const closure = closureOf(device, Object.keys(arena));
      for (let step = 0; step < 3; step += 1) optim.updateParams(closure);
      for (const swap of [() => optim.swapIn(), () => optim.swapOut()]) {
        counted.reset();
        swap();
        const { dispatches, submits, mapAsync } = counted.counts;
        expect({ dispatches, submits, mapAsync }).toEqual({ dispatches: 1, submits: 1, mapAsync: 0 });
      }
      counted.reset();
      optim.updateParams(closure);
      // The objects that a step has made for itself are there still.
      expect([counted.counts.createBindGroup, counted.counts.createBuffer]).toEqual([0, 0]);
      optim.dispose();
    },
  );
});

describe("an update with clipping and dynamic loss scaling", () => {
  test("of the caller's buffers: check, prepare, and one dispatch for each", async () => {
    const device = await openDevice();
    const parameters = buffersOf(device, 7);
    const counted = countDevice(device);
    const optim = createOptimWrapper(webgpuOptimizer(adam(), parameters, { device }), amp);
    const loss = closureOf(device, Object.keys(parameters));
    expect(inSteadyState(counted, () => optim.updateParams(loss))).toEqual({
      dispatches: 7 + 2,
      submits: 1,
      writeBuffer: 1,
      nothing: 0,
    });
    // One range of zeros for all gradients.
    expect(counted.counts).toMatchObject({ clears: 1, passes: 2 });
  });

  test.each([1, 1000])("of an arena of %i: check, prepare, update", async (count) => {
    const device = await openDevice();
    const arena = createArena(device, lengths(count, 100));
    const counted = countDevice(device);
    const optim = createOptimWrapper(webgpuOptimizer(adam(), arena, { device }), amp);
    const loss = closureOf(device, Object.keys(arena));
    expect(inSteadyState(counted, () => optim.updateParams(loss))).toEqual({
      dispatches: 3,
      submits: 1,
      writeBuffer: 1,
      nothing: 0,
    });
    expect(counted.counts.clears).toBe(1);
  });

  test("of an arena of 3 chunks: check and update for each, one prepare", async () => {
    // 64 elements take 256 bytes: 4 of them a chunk.
    const device = withLimits(await openDevice(), { maxStorageBufferBindingSize: 1024 });
    const arena = createArena(device, lengths(12, 64));
    expect(new Set(Object.values(arena).map(({ buffer }) => buffer)).size).toBe(3);
    const counted = countDevice(device);
    const optim = createOptimWrapper(webgpuOptimizer(adam(), arena, { device }), amp);
    const loss = closureOf(device, Object.keys(arena));
    expect(inSteadyState(counted, () => optim.updateParams(loss))).toEqual({
      dispatches: 2 * 3 + 1,
      submits: 1,
      writeBuffer: 1,
      nothing: 0,
    });
  });

  test("with a learning rate that changes every time", async () => {
    const device = await openDevice();
    const arena = createArena(device, lengths(5, 10));
    const counted = countDevice(device);
    const optim = createOptimWrapper(webgpuOptimizer(adam(), arena, { device }), amp);
    const loss = closureOf(device, Object.keys(arena));
    const update = (): void => {
      optim.paramGroups[0].lr *= 0.9;
      optim.updateParams(loss);
    };
    expect(inSteadyState(counted, update)).toEqual({ dispatches: 3, submits: 1, writeBuffer: 1, nothing: 0 });
  });

  test("a parameter without a gradient costs no dispatch, and no new plan", async () => {
    const device = await openDevice();
    const parameters = buffersOf(device, 3);
    const counted = countDevice(device);
    const optim = createOptimWrapper(webgpuOptimizer(adam(), parameters, { device }), amp);
    const [all, two] = [closureOf(device, ["p0", "p1", "p2"]), closureOf(device, ["p0", "p2"])];
    for (let i = 0; i < 2; i += 1) {
      optim.updateParams(all);
      optim.updateParams(two);
    }
    counted.reset();
    optim.updateParams(two);
    expect(counted.counts).toMatchObject({ dispatches: 1 + 2 + 2, createBuffer: 0, createBindGroup: 0 });
    optim.updateParams(all);
    expect(counted.counts).toMatchObject({ dispatches: 5 + 1 + 3 + 2, createBuffer: 0, createBindGroup: 0 });
  });
});

test("without clipping and loss scaling an arena takes one dispatch", async () => {
  const device = await openDevice();
  const arena = createArena(device, lengths(50, 33));
  const counted = countDevice(device);
  const optim = createOptimWrapper(webgpuOptimizer(adam(), arena, { device }));
  const loss = closureOf(device, Object.keys(arena));
  expect(inSteadyState(counted, () => optim.updateParams(loss))).toEqual({
    dispatches: 1,
    submits: 1,
    writeBuffer: 1,
    nothing: 0,
  });
});

test("a backward inside a window adds all gradients in one dispatch", async () => {
  const device = await openDevice();
  const arena = createArena(device, lengths(50, 33));
  const counted = countDevice(device);
  const options = { ...amp, accumulativeCounts: 3 };
  const optim = createOptimWrapper(webgpuOptimizer(adam(), arena, { device }), options);
  const loss = closureOf(device, Object.keys(arena));
  for (let i = 0; i < 6; i += 1) optim.updateParams(loss);
  const counts: unknown[] = [];
  for (let i = 0; i < 3; i += 1) {
    counted.reset();
    optim.updateParams(loss);
    const { dispatches, submits, writeBuffer, createBuffer, createBindGroup } = counted.counts;
    counts.push({ dispatches: dispatches - 1, submits, writeBuffer, createBuffer, createBindGroup });
  }
  const nothing = { createBuffer: 0, createBindGroup: 0 };
  expect(counts).toEqual([
    // The first gradients of a window are written where they accumulate.
    { dispatches: 0, submits: 1, writeBuffer: 0, ...nothing },
    { dispatches: 1, submits: 1, writeBuffer: 0, ...nothing },
    { dispatches: 1 + 3, submits: 1, writeBuffer: 1, ...nothing },
  ]);
});

test("a rule with norms takes two dispatches more: norms, and what follows from them", async () => {
  const device = await openDevice();
  const arena = createArena(device, lengths(50, 33));
  const counted = countDevice(device);
  const optim = createOptimWrapper(webgpuOptimizer(lamb(), arena, { device }), amp);
  const loss = closureOf(device, Object.keys(arena));
  const { dispatches, nothing } = inSteadyState(counted, () => optim.updateParams(loss));
  expect({ dispatches, nothing }).toEqual({ dispatches: 5, nothing: 0 });
});

test("a state is read in one copy and one mapping, whatever is in it", async () => {
  const device = await openDevice();
  const arena = createArena(device, lengths(20, 33));
  const counted = countDevice(device);
  const optim = createAmpOptimWrapper(webgpuOptimizer(adam(), arena, { device }));
  optim.updateParams(closureOf(device, Object.keys(arena)));
  counted.reset();
  await Promise.all([optim.stateDict(), optim.readMetrics()]);
  expect(counted.counts).toMatchObject({ mapAsync: 1, createBuffer: 1, submits: 1 });
});

test("10,000 updates: no growth in GPU bytes and objects", { timeout: 300_000 }, async () => {
  const device = await openDevice();
  const arena = createArena(device, lengths(10, 33));
  const counted = countDevice(device);
  const optim = createOptimWrapper(webgpuOptimizer(adam(), arena, { device }), {
    ...amp,
  });
  const loss = closureOf(device, Object.keys(arena));
  const after = async (updates: number): Promise<{ readonly bytes: unknown; readonly objects: number }> => {
    for (let i = 0; i < updates; i += 1) {
      optim.paramGroups[0].lr = 1e-3 / (1 + i);
      optim.updateParams(loss);
      if (i % 250 === 0) await optim.stateDict();
    }
    await optim.readMetrics();
    return { bytes: counted.alive, objects: await liveObjects() };
  };
  await after(1000);
  const early = await after(1000);
  const late = await after(8000);
  expect(late.bytes).toEqual(early.bytes);
  // One object that each of 8,000 updates kept, or each of 32 states and its read, would be that many more.
  expect(late.objects - early.objects).toBeLessThan(32);
  expect((await optim.readMetrics()).steps).toBe(10_000);
});
