import { describe, expect, test } from "vitest";
import { countDevice } from "./counted.ts";
import { defaultAdapter, lavapipe, openDevice } from "./node.ts";
import { readFloats, storageBuffer } from "./read.ts";

const doubling = `
  @group(0) @binding(0) var<storage, read_write> values: array<f32>;
  @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) { values[id.x] *= 2.0; }`;

for (const adapter of [defaultAdapter, lavapipe]) {
  describe.skipIf(!adapter.available)(`on ${adapter.name}`, () => {
    test("computes; what it is asked to do is counted", async () => {
      const device = await openDevice(adapter);
      expect(device.limits.maxStorageBuffersPerShaderStage).toBe(8);
      const counted = countDevice(device);
      const buffer = storageBuffer(device, Float32Array.of(1, 2, 3, 4));
      const pipeline = device.createComputePipeline({
        layout: "auto",
        compute: { module: device.createShaderModule({ code: doubling }) },
      });
      const group = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [{ binding: 0, resource: { buffer } }],
      });
      expect(counted.alive).toEqual({ buffers: 1, bytes: 16 });
      counted.reset();

      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(1);
      pass.dispatchWorkgroups(1);
      pass.end();
      device.queue.submit([encoder.finish()]);
      expect(counted.counts).toMatchObject({
        dispatches: 2,
        passes: 1,
        submits: 1,
        copies: 0,
        createBuffer: 0,
      });

      expect([...(await readFloats(device, { buffer }))]).toEqual([4, 8, 12, 16]);
      expect(counted.counts).toMatchObject({ copies: 1, submits: 2, mapAsync: 1, createBuffer: 1 });
      expect(counted.alive).toEqual({ buffers: 1, bytes: 16 });
      buffer.destroy();
      expect(counted.alive).toEqual({ buffers: 0, bytes: 0 });
    });
  });
}

test("lavapipe has float16, the default adapter has not", { skip: !lavapipe.available }, async () => {
  const device = await openDevice(lavapipe, { requiredFeatures: ["shader-f16"] });
  expect(device.features.has("shader-f16")).toBe(true);
});
