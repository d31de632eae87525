import type { LinearTerm, OptimizerFactory } from "@mm/optim-conformance";
import { createArena, webgpuOptimizer, type WebgpuLoss, type WebgpuRange } from "@mm/optim-webgpu";
import { type CountedDevice, countDevice } from "./support/counted.ts";

/**
 * Where the factory puts parameters: each in a buffer of its own; each in an arena; or in turn in a buffer of its own, in a buffer of many,
 * one directly behind the other, and in an arena.
 */
export type Home = "buffers" | "arena" | "everywhere";

// STORAGE | COPY_SRC | COPY_DST
const usage = 0x0080 | 0x0004 | 0x0008;

/** Puts wanted × scale into gradient. */
export const backward = `
  @group(0) @binding(0) var<storage, read> wanted: array<f32>;
  @group(0) @binding(1) var<storage, read> scale: f32;
  @group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x < arrayLength(&wanted)) { gradient[id.x] = wanted[id.x] * scale; }
  }`;

const forward = `
  @group(0) @binding(0) var<storage, read> wanted: array<f32>;
  @group(0) @binding(1) var<storage, read> parameter: array<f32>;
  @group(0) @binding(2) var<storage, read_write> loss: f32;
  @group(0) @binding(3) var<uniform> start: u32;
  @compute @workgroup_size(1) fn main() {
    for (var i = 0u; i < arrayLength(&wanted); i++) { loss += wanted[i] * parameter[start + i]; }
  }`;

/** This backend on a device, as the conformance kit takes backends. It counts the buffers that optimizers make. */
export function webgpuFactory(
  device: GPUDevice,
  { name, home }: { readonly name: string; readonly home: Home },
  counted: CountedDevice = countDevice(device),
): OptimizerFactory<WebgpuRange, WebgpuLoss, undefined> {
  // Past the counting: what the factory makes is not the optimizers'.
  const createBuffer = (size: number, values?: Float32Array): GPUBuffer => {
    const { createBuffer: own } = Object.getPrototypeOf(device) as GPUDevice;
    const buffer = own.call(device, { label: "test", size: Math.max(4, size), usage: usage | 0x0040 });
    if (values !== undefined && values.length > 0)
      device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
    return buffer;
  };
  const pipelineOf = (code: string): GPUComputePipeline =>
    device.createComputePipeline({
      layout: "auto",
      compute: { module: device.createShaderModule({ code }) },
    });
  const [differentiating, losing] = [pipelineOf(backward), pipelineOf(forward)];
  const sharedSize = 1 << 18;
  let shared = { buffer: createBuffer(sharedSize), used: 4 };
  const arenas = new Set<GPUBuffer>();
  let lastLoss = createBuffer(4);

  const places: readonly ((length: number) => WebgpuRange)[] = [
    (length) => ({ buffer: createBuffer(4 * length), length }),
    (length) => {
      const offset = shared.used;
      // Not empty, so that no two are at one place.
      shared.used += 4 * Math.max(1, length);
      if (shared.used <= sharedSize) return { buffer: shared.buffer, offset, length };
      shared = { buffer: createBuffer(sharedSize), used: 4 };
      return { buffer: createBuffer(4 * length), length };
    },
    (length) => {
      const { parameter } = createArena(device, { parameter: length });
      arenas.add(parameter.buffer);
      return parameter;
    },
  ];
  let made = 0;
  const fixed = { buffers: 0, arena: 2, everywhere: undefined }[home];
  const place = (length: number): WebgpuRange =>
    (places[fixed ?? (made += 1) % places.length] as (typeof places)[number])(length);
  const record = (
    encoder: GPUCommandEncoder,
    pipeline: GPUComputePipeline,
    resources: readonly GPUBufferBinding[],
    groups: number,
  ): void => {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(groups);
    pass.end();
  };
  const linearLoss = (terms: readonly LinearTerm<WebgpuRange>[]): WebgpuLoss => {
    const wanted = terms.map(({ gradient }) => createBuffer(gradient.byteLength, gradient));
    return ({ encoder, grad, scale }) => {
      lastLoss = createBuffer(4);
      for (const [index, { name: parameter, parameter: range, gradient }] of terms.entries()) {
        const into = grad(parameter);
        if (gradient.length === 0) continue;
        const from = { buffer: wanted[index] as GPUBuffer };
        record(encoder, differentiating, [from, scale, into], Math.ceil(gradient.length / 64));
        const { buffer, offset = 0 } = range;
        const start = { buffer: createBuffer(16, new Float32Array(new Uint32Array([offset / 4]).buffer)) };
        record(encoder, losing, [from, { buffer }, { buffer: lastLoss }, start], 1);
      }
      return undefined;
    };
  };
  return {
    name,
    createParameter(values) {
      const range = place(values.length);
      if (values.length > 0)
        device.queue.writeBuffer(range.buffer, range.offset ?? 0, values as Float32Array<ArrayBuffer>);
      return range;
    },
    createOptimizer: (rule, parameters, options) =>
      webgpuOptimizer(rule, parameters as { readonly [name: string]: WebgpuRange }, { device, ...options }),
    linearLoss,
    async readLoss() {
      // MAP_READ | COPY_DST
      const { createBuffer: own } = Object.getPrototypeOf(device) as GPUDevice;
      const staging = own.call(device, { label: "test loss", size: 4, usage: 0x0001 | 0x0008 });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(lastLoss, 0, staging, 0, 4);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(0x0001);
      const [loss] = new Float32Array(staging.getMappedRange().slice(0));
      staging.destroy();
      return loss as number;
    },
    liveAllocations: () => counted.alive.buffers - arenas.size,
    storageOf: ({ buffer }) => buffer,
    launches: () => counted.counts.dispatches,
  };
}
