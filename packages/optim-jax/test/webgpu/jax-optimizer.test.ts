import { grad, numpy as np } from "@jax-js/jax";
import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { jaxOptimizer, Variable } from "@mm/optim-jax";
import { adam } from "@mm/optim-rules";
import { expect, test, vi } from "vitest";
import { thrownBy } from "../../../../test-support/refusal.ts";
import { countDevice } from "../../../optim-webgpu/test/support/counted.ts";
import { useWebgpu } from "../support/jax-on-dawn.ts";
import { twoRanks } from "../two-ranks.ts";
import { testVariables } from "../variables.ts";
import { createJaxAdam } from "../../../../bench/src/jax-adam.ts";

const device = await useWebgpu();
const counted = countDevice(device);

test("a jax-js whose arrays move between buffers is refused", () => {
  const moving = vi.spyOn(np.Array.prototype, "gpuBufferSync").mockImplementation(function (this: np.Array) {
    this.dispose();
    return device.createBuffer({ size: 12, usage: 0x8c });
  });
  const { code, message } = thrownBy(() => new Variable(np.ones([3])));
  moving.mockRestore();
  expect(code).toBe("unsupported");
  expect(message).toMatch(/^Variable: expected arrays of jax-js on webgpu that stay in buffers of their own/);
});

testVariables("webgpu");

const n = 5;
const create = (): Variable[] => Array.from({ length: n }, (_, i) => new Variable(np.ones([100 + i])));
const named = (variables: readonly Variable[]): { [name: string]: Variable } =>
  Object.fromEntries(variables.map((variable, i) => [`w${i}`, variable]));
const gradients = Object.fromEntries(
  Array.from({ length: n }, (_, i) => [`w${i}`, new Float32Array(100 + i).fill(0.5)]),
);

test("Adam without clipping takes n dispatches and one submission", () => {
  const optimizer = jaxOptimizer(adam(), named(create()));
  const step = (): void => {
    optimizer.writeGradients(gradients);
    counted.reset();
    optimizer.step();
  };
  step();
  step();
  const { dispatches, submits, createBuffer, createBindGroup, createComputePipeline } = counted.counts;
  expect({ dispatches, submits }).toEqual({ dispatches: n, submits: 1 });
  expect({ createBuffer, createBindGroup, createComputePipeline }).toEqual({
    createBuffer: 0,
    createBindGroup: 0,
    createComputePipeline: 0,
  });
  optimizer.dispose();
});

test("beside what jax-js does, an update takes n copies, n dispatches and one submission", () => {
  const variables = create();
  const lossOf = (arrays: readonly np.Array[]): np.Array =>
    arrays.map((w) => w.ref.mul(w).sum()).reduce((sum, term) => sum.add(term));
  const counts = (run: () => void): typeof counted.counts => {
    for (let i = 0; i < 3; i += 1) run();
    counted.reset();
    run();
    return { ...counted.counts };
  };
  const alone = counts(() => {
    const gradients = grad(lossOf)(variables.map((w) => w.read()));
    for (const gradient of gradients) {
      gradient.ref.gpuBufferSync();
      gradient.dispose();
    }
  });
  const updating = (options: OptimWrapperOptions): typeof counted.counts => {
    const optim = createOptimWrapper(jaxOptimizer(adam(), named(variables)), options);
    const found = counts(() => optim.updateParams((at) => lossOf(at(variables))));
    optim.dispose();
    return found;
  };
  expect(updating({})).toMatchObject({
    copies: n,
    dispatches: alone.dispatches + n,
    submits: alone.submits + 1,
    createBuffer: 0,
    createBindGroup: alone.createBindGroup,
  });
  // One dispatch prepares the norm, and one the scalars. The loss scale is copied to where jax-js sees it.
  expect(
    updating({ clipGrad: { maxNorm: 1 }, lossScale: { initScale: 2 ** 10, growthInterval: 2 } }),
  ).toMatchObject({
    copies: n + 1,
    createBuffer: 0,
  });
});

test("jax-js's own Adam takes 3 n kernels and 3 n submissions under jit", async () => {
  const own = createJaxAdam(n, 100, "webgpu");
  await own.step();
  counted.reset();
  await own.step();
  expect(counted.counts).toMatchObject({ dispatches: 3 * n, submits: 3 * n });
});

test("10,000 updates: no growth in buffers", { timeout: 300_000 }, async () => {
  const w = new Variable(np.ones([33]));
  const optim = createOptimWrapper(jaxOptimizer(adam(), { w }), {
    lossScale: "dynamic",
    clipGrad: { maxNorm: 1 },
  });
  const run = async (updates: number): Promise<unknown> => {
    for (let i = 0; i < updates; i += 1) {
      optim.updateParams((at) => at(w).sum());
      if (i % 250 === 0) await optim.stateDict();
    }
    await optim.readMetrics();
    return counted.alive;
  };
  await run(1000);
  const early = await run(1000);
  expect(await run(8000)).toEqual(early);
  expect((await optim.readMetrics()).steps).toBe(10_000);
  optim.dispose();
  w.dispose();
});

test("two ranks, clipped, with a dynamic scale: as one process on the whole batch", async () => {
  const { difference, largest } = await twoRanks("webgpu");
  // Kernels of a device sum in an order of their own.
  expect(difference).toBeLessThanOrEqual(1e-5);
  expect(largest).toBeGreaterThan(0.5);
});
