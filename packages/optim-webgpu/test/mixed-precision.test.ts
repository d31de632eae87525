import { createOptimWrapper, type LossScale, type OptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { createArena, webgpuOptimizer, type WebgpuLoss } from "@mm/optim-webgpu";
import { describe, expect, test } from "vitest";
import { lavapipe, openDevice } from "./support/node.ts";
import { readBytes } from "./support/read.ts";

// Mixed precision as it is meant: forward and backward in float16, weights in float32.
//
// loss = 1e-8 · Σ (p − ½)² ÷ 2, so the gradient is 1e-8 · (p − ½). With a learning rate of 1e7 every step takes a tenth of p − ½ away:
// from p = 1.5 it is 0.9ⁿ after n steps. But 1e-8 is less than half of the smallest float16, 2⁻²⁴ = 6e-8.

/** Where shaders have float16, and where they pack two of them into a word. */
const storages = {
  f16: `enable f16;
    @group(0) @binding(0) var<storage, read> p: array<f16>;
    @group(0) @binding(1) var<storage, read_write> g: array<f16>;
    @group(0) @binding(2) var<uniform> scale: f32;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < arrayLength(&p)) { g[id.x] = f16(scale * 1e-8f * (f32(p[id.x]) - 0.5f)); }
    }`,
  packed: `
    @group(0) @binding(0) var<storage, read> p: array<u32>;
    @group(0) @binding(1) var<storage, read_write> g: array<u32>;
    @group(0) @binding(2) var<uniform> scale: f32;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < arrayLength(&p)) {
        g[id.x] = pack2x16float(scale * 1e-8f * (unpack2x16float(p[id.x]) - vec2f(0.5f)));
      }
    }`,
} as const;

const length = 129;
/** 1.5 in float16: exponent 0, fraction ½. */
const oneAndHalf = 0x3e00;

interface Run {
  readonly optim: OptimWrapper<WebgpuLoss<"p">, undefined>;
  /** The float16 weights, as bits. */
  readonly halves: () => Promise<Uint16Array>;
  /** The float32 weights. */
  readonly weights: () => Promise<Float32Array>;
  train(steps: number): void;
}

function start(device: GPUDevice, storage: keyof typeof storages, lossScale?: LossScale): Run {
  const { p } = createArena(device, { p: length }, { dtype: "float16" });
  // A half more, in the last word, so that the word is whole.
  device.queue.writeBuffer(p.buffer, p.offset, new Uint16Array(length + 1).fill(oneAndHalf, 0, length));
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: storages[storage] }) },
  });
  const loss: WebgpuLoss<"p"> = ({ encoder, grad, scale }) => {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [p, grad("p"), scale].map((resource, binding) => ({ binding, resource }));
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(Math.ceil(length / 64));
    pass.end();
    return undefined;
  };
  const optim = createOptimWrapper(webgpuOptimizer(sgd({ lr: 1e7 }), { p }, { device }), { lossScale });
  return {
    optim,
    halves: async () => new Uint16Array(await readBytes(device, p)).slice(0, length),
    weights: async () => (await optim.optimizer.readParameters())["p"] as Float32Array,
    train(steps) {
      for (let step = 0; step < steps; step += 1) optim.updateParams(loss);
    },
  };
}

/** The largest |error − 0.9ⁿ| ÷ 0.9ⁿ. */
const strayed = (weights: Float32Array, steps: number): number =>
  Math.max(...Array.from(weights, (weight) => Math.abs((weight - 0.5) / 0.9 ** steps - 1)));

describe.each([
  { name: "SwiftShader, packed in words", storage: "packed", adapter: undefined, available: true },
  { name: "lavapipe, shader-f16", storage: "f16", adapter: lavapipe, available: lavapipe.available },
] as const)("$name", ({ storage, adapter, available }) => {
  const open = (): Promise<GPUDevice> =>
    adapter === undefined ? openDevice() : openDevice(adapter, { requiredFeatures: ["shader-f16"] });

  describe.skipIf(!available)("float16 gradients and weights, float32 master weights", () => {
    test("without loss scaling not one bit moves", async () => {
      const { optim, train, halves, weights } = start(await open(), storage);
      train(40);
      expect(new Set(await halves())).toEqual(new Set([oneAndHalf]));
      expect(new Set(await weights())).toEqual(new Set([1.5]));
      expect(await optim.readMetrics()).toMatchObject({ steps: 40, skipped: 0 });
    });

    test("with a scale of 65,536 the weights go the exact way", async () => {
      const { optim, train, halves, weights } = start(await open(), storage, 65_536);
      train(40);
      // Half a unit in the last place of a gradient in float16 is 2⁻¹¹ = 4.9e-4 of it, and it sees weights rounded as well.
      expect(strayed(await weights(), 40)).toBeLessThan(2e-3);
      expect(await optim.readMetrics()).toMatchObject({ steps: 40, skipped: 0, lossScale: 65_536 });
      const [half] = await halves();
      // 0.5 + 0.9⁴⁰ = 0.51478, of which float16 has 11 binary places: 1054 ÷ 2048.
      expect(half).toBe(0x3800 + 1054 - 1024);
    });

    test("a dynamic scale of 2⁶⁰ halves until gradients fit, skips exactly 18 steps, and follows", async () => {
      const { optim, train, weights } = start(await open(), storage, { initScale: 2 ** 60 });
      train(40);
      // 2⁴² × 1e-8 = 43,980 is the first that float16 holds: its largest is 65,504.
      expect(await optim.readMetrics()).toMatchObject({ steps: 22, skipped: 18, lossScale: 2 ** 42 });
      expect(strayed(await weights(), 22)).toBeLessThan(2e-3);
    });

    test("a static scale of 2⁶⁰ skips every step and moves nothing", async () => {
      const { optim, train, halves, weights } = start(await open(), storage, 2 ** 60);
      train(40);
      expect(await optim.readMetrics()).toMatchObject({ steps: 0, skipped: 40, lossScale: 2 ** 60 });
      expect(new Set(await halves())).toEqual(new Set([oneAndHalf]));
      expect(new Set(await weights())).toEqual(new Set([1.5]));
    });
  });
});
