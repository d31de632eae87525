// The two backends of cells as the conformance kit takes them.
import type { OptimizerFactory } from "@mm/optim-conformance";
import type { WebgpuLoss } from "@mm/optim-webgpu/host";
import type { CountedDevice } from "../support/counted.ts";
import { backward } from "../factory.ts";
import { readFloats } from "../support/read.ts";
import { bufferOf, Cell, cellsOptimizer, tapeOptimizer, type TapeLoss } from "./cells-optimizer.ts";

/** Records gradient = wanted × scale. */
function scaler(device: GPUDevice) {
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: backward }) },
  });
  return (encoder: GPUCommandEncoder, resources: readonly GPUBufferBinding[], length: number): void => {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(Math.ceil(length / 64));
    pass.end();
  };
}

interface Term {
  readonly parameter: Cell;
  readonly gradient: Float32Array;
}

/** Records copies of the cells as they are when these commands run, and gives Σ ⟨cell, gradient⟩ over them. */
function recordLoss(
  device: GPUDevice,
  encoder: GPUCommandEncoder,
  terms: readonly Term[],
): () => Promise<number> {
  const copies = terms.map(({ parameter: { buffer }, gradient }) => {
    const copy = bufferOf(device, new Float32Array(gradient.length));
    if (gradient.length > 0) encoder.copyBufferToBuffer(buffer, 0, copy, 0, gradient.byteLength);
    return copy;
  });
  return async () => {
    let sum = 0;
    for (const [index, { gradient }] of terms.entries()) {
      const values = await readFloats(device, { buffer: copies[index] as GPUBuffer });
      for (const [element, factor] of gradient.entries()) sum += factor * (values[element] as number);
    }
    return sum;
  };
}

/** All that the two factories have in common. */
const cellsOf = (device: GPUDevice, counted: CountedDevice) => ({
  createParameter: (values: Float32Array, shape: readonly number[]) => new Cell(device, values, shape),
  disposeParameter: ({ buffer }: Cell) => buffer.destroy(),
  liveAllocations: () => counted.alive.buffers,
  storageOf: ({ buffer }: Cell) => buffer,
  launches: () => counted.counts.dispatches,
});

export function cellsFactory(
  device: GPUDevice,
  counted: CountedDevice,
): OptimizerFactory<Cell, WebgpuLoss, undefined> {
  const record = scaler(device);
  let lastLoss: () => Promise<number> = () => Promise.resolve(0);
  return {
    name: "cells",
    ...cellsOf(device, counted),
    createOptimizer: (rule, cells, options) => cellsOptimizer(rule, cells, device, options),
    linearLoss(terms) {
      const wanted = terms.map(({ gradient }) => bufferOf(device, gradient));
      return ({ encoder, grad, scale }) => {
        lastLoss = recordLoss(device, encoder, terms);
        for (const [index, { name, gradient }] of terms.entries()) {
          const into = grad(name);
          const from = { buffer: wanted[index] as GPUBuffer };
          if (gradient.length > 0) record(encoder, [from, scale, into], gradient.length);
        }
      };
    },
    readLoss: () => lastLoss(),
  };
}

export function tapeFactory(
  device: GPUDevice,
  counted: CountedDevice,
): OptimizerFactory<Cell, TapeLoss, () => Promise<number>> {
  const record = scaler(device);
  const one = bufferOf(device, Float32Array.of(1));
  return {
    name: "tape",
    ...cellsOf(device, counted),
    createOptimizer: (rule, cells, options) => tapeOptimizer(rule, cells, device, options),
    linearLoss(terms) {
      const wanted = terms.map(({ gradient }) => bufferOf(device, gradient));
      return (seed = one) => {
        const encoder = device.createCommandEncoder();
        const value = recordLoss(device, encoder, terms);
        const gradients = new Map<Cell, { buffer: GPUBuffer }>();
        for (const [index, { parameter, gradient }] of terms.entries()) {
          const buffer = bufferOf(device, new Float32Array(gradient.length));
          gradients.set(parameter, { buffer });
          const from = { buffer: wanted[index] as GPUBuffer };
          if (gradient.length > 0) record(encoder, [from, { buffer: seed }, { buffer }], gradient.length);
        }
        device.queue.submit([encoder.finish()]);
        const release = (): void => {
          for (const { buffer } of gradients.values()) buffer.destroy();
        };
        return { value, gradients, release };
      };
    },
    readLoss: (value) => value(),
  };
}
