// `dataParallel` on buffers of WebGPU: the device decides, and is waited for.
import { createOptimWrapper } from "@mm/optim-core";
import { checkReplicas, dataParallel } from "@mm/optim-distributed";
import { localCommunicators } from "@mm/optim-distributed/testing";
import { adamw } from "@mm/optim-rules";
import { createArena, webgpuOptimizer } from "@mm/optim-webgpu";
import { expect, test } from "vitest";
import { openDevice } from "../../../optim-webgpu/test/support/node.ts";

const device = await openDevice();
const elements = 100;
const pipeline = device.createComputePipeline({
  layout: "auto",
  compute: {
    module: device.createShaderModule({
      code: `
        @group(0) @binding(0) var<storage, read> wanted: array<f32>;
        @group(0) @binding(1) var<storage, read> scale: f32;
        @group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
        @group(0) @binding(3) var<storage, read> parameter: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
          let i = id.x;
          if (i < arrayLength(&gradient)) { gradient[i] = (parameter[i] - wanted[i]) * scale; }
        }`,
    }),
  },
});

/** A wrapper of a parameter that begins at 0, with losses of ½ (w − wanted)². */
function create() {
  const arena = createArena(device, { w: elements });
  const wrapper = createOptimWrapper(webgpuOptimizer(adamw({ lr: 0.1 }), arena, { device }), {
    accumulativeCounts: 2,
    clipGrad: { maxNorm: 1 },
    lossScale: { initScale: 128, growthInterval: 3 },
  });
  type Loss = Parameters<typeof wrapper.updateParams>[0];
  const lossOf = (values: Float32Array<ArrayBuffer>): Loss => {
    const wanted = device.createBuffer({ size: values.byteLength, usage: 0x0080 | 0x0008 }); // STORAGE | COPY_DST
    device.queue.writeBuffer(wanted, 0, values);
    return ({ encoder, grad, scale }) => {
      const entries = [{ buffer: wanted }, scale, grad("w"), arena.w].map((resource, binding) => ({
        binding,
        resource,
      }));
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      pass.dispatchWorkgroups(Math.ceil(elements / 64));
      pass.end();
      return undefined;
    };
  };
  return { wrapper, lossOf };
}

const wantedOf = (iteration: number, rank: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: elements }, (_, i) => Math.sin(i + 3 * iteration) + rank);

test("two ranks on WebGPU, clipped, with a dynamic scale: as one process on the whole batch", async () => {
  const iterations = 20; // 10 steps
  const alone = create();
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    // Rank 1 has three times the rows of rank 0: (1 · wanted₀ + 3 · wanted₁) ÷ 4.
    const [first, second] = [wantedOf(iteration, 0), wantedOf(iteration, 1)];
    alone.wrapper.updateParams(
      alone.lossOf(first.map((value, i) => (value + 3 * (second[i] as number)) / 4)),
    );
  }
  const expected = (await alone.wrapper.optimizer.readParameters())["w"] as Float32Array;
  const ends = await Promise.all(
    localCommunicators(2).map(async (communicator) => {
      const { wrapper, lossOf } = create();
      const parallel = dataParallel(wrapper, communicator);
      for (let iteration = 0; iteration < iterations; iteration += 1) {
        const weight = 1 + 2 * communicator.rank;
        await parallel.updateParams(lossOf(wantedOf(iteration, communicator.rank)), { weight });
      }
      await checkReplicas(wrapper, communicator);
      const end = (await wrapper.optimizer.readParameters())["w"] as Float32Array;
      const { steps } = await wrapper.readMetrics();
      wrapper.dispose();
      return { end, steps };
    }),
  );
  alone.wrapper.dispose();
  for (const { end, steps } of ends) {
    expect(steps).toBe(10);
    expect(Math.max(...end.map((value, i) => Math.abs(value - (expected[i] as number))))).toBeLessThanOrEqual(
      1e-5,
    );
  }
  // It moved: by 0.1 a step at most.
  expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(0.5);
});
