// A backend as somebody else would write it: for cells, the variables of a small library, each in a GPUBuffer of its own that an assignment
// replaces. It imports public doors alone.
import type { BaseHyperparameters, Optimizer, ParametersInput, SlotOptions } from "@mm/optim-core";
import { createOptimizer, lengthOf, refuse } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import {
  copyGradients,
  createEngine,
  type GradientSource,
  type ParameterPort,
  recordGradients,
  requireRoom,
  type WebgpuLoss,
} from "@mm/optim-webgpu/host";

/** A variable: values in a buffer, which assigning replaces by another. */
export class Cell {
  readonly shape: readonly number[];
  buffer: GPUBuffer;

  constructor(device: GPUDevice, values: Float32Array, shape: readonly number[]) {
    this.shape = shape;
    this.buffer = bufferOf(device, values);
  }

  assign(device: GPUDevice, values: Float32Array): void {
    this.buffer.destroy();
    this.buffer = bufferOf(device, values);
  }
}

/** Past whatever counts the device's own buffers: those of a library are not the optimizer's. */
export function bufferOf(device: GPUDevice, values: Float32Array): GPUBuffer {
  const { createBuffer } = Object.getPrototypeOf(device) as GPUDevice;
  // STORAGE | COPY_SRC | COPY_DST
  const buffer = createBuffer.call(device, {
    label: "cell",
    size: Math.max(4, values.byteLength),
    usage: 0x8c,
  });
  if (values.length > 0) device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
  return buffer;
}

/** How an engine reaches cells. */
export function cellPort(device: GPUDevice): ParameterPort<Cell> {
  return {
    moves: true,
    describe(value: unknown, where) {
      if (!(value instanceof Cell)) {
        return refuse("invalid-parameter", where, "a Cell", value);
      }
      requireRoom(device, { offset: 0, bytes: 4 * lengthOf(value.shape) }, where);
      return { shape: value.shape, identity: value };
    },
    resolve: ({ buffer, shape }) => ({
      buffer,
      offset: 0,
      length: lengthOf(shape),
      dtype: "float32",
      padded: false,
    }),
  };
}

/** Cells whose losses record their own passes. */
export function cellsOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  cells: ParametersInput<Cell, H>,
  device: GPUDevice,
  options?: SlotOptions,
): Optimizer<WebgpuLoss, undefined, H> {
  const engine = createEngine({ backend: "cells", device, port: cellPort(device) });
  try {
    return createOptimizer(
      "cellsOptimizer",
      { ...engine.members(), differentiate: (loss, request) => recordGradients(engine, loss, request) },
      rule,
      cells,
      options,
    );
  } catch (error) {
    engine.dispose();
    throw error;
  }
}

/** The result of a loss of the library: its value, and gradients that it has multiplied by a number on the device. */
interface Tape {
  /** Reads it. Waits for the device. */
  readonly value: () => Promise<number>;
  readonly gradients: ReadonlyMap<Cell, GradientSource>;
  readonly release: () => void;
}

export type TapeLoss = (seed: GPUBuffer | undefined) => Tape;

const isTape = (value: unknown): value is Tape => (Object(value) as Partial<Tape>).gradients instanceof Map;

/** Cells whose library differentiates. */
export function tapeOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  cells: ParametersInput<Cell, H>,
  device: GPUDevice,
  options?: SlotOptions,
): Optimizer<TapeLoss, () => Promise<number>, H> {
  const engine = createEngine({ backend: "tape", device, port: cellPort(device) });
  try {
    return createOptimizer(
      "tapeOptimizer",
      {
        ...engine.members(),
        differentiate: (loss: TapeLoss, request) =>
          copyGradients(engine, request, (seed) => {
            const pass: unknown = loss(seed?.buffer);
            if (!isTape(pass)) return refuse("invalid-loss", "tapeOptimizer: loss", "a tape", pass);
            const { value, gradients, release } = pass;
            return {
              value: request.returnLoss ? value : undefined,
              gradients: request.parameters.flatMap((parameter) => {
                const source = gradients.get(parameter.value);
                return source === undefined ? [] : [[parameter, source] as const];
              }),
              done: release,
            };
          }),
      },
      rule,
      cells,
      options,
    );
  } catch (error) {
    engine.dispose();
    throw error;
  }
}
