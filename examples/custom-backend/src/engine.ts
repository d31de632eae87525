import { OptimError } from "@mm/optim-core";
import {
  allOperations,
  arrayKernels,
  type Engine,
  hostCapabilities,
  HostLossScaler,
  hostStages,
  lengthOf,
  packed,
} from "@mm/optim-core/backend";
import { differentiate, type TapeLoss } from "./differentiate.ts";
import { Tensor } from "./tensor.ts";

/**
 * The library differentiates; the update rule runs on the host, over Float32Arrays, by core's reference evaluation. A step copies the
 * numbers of a parameter out and back.
 */
export function tapeEngine(): Engine<TapeLoss, Tensor, Tensor, Float32Array, readonly number[], number> {
  const kernels = arrayKernels();
  return {
    backend: "tape",
    capabilities: hostCapabilities,
    operations: allOperations,

    describe(value, where) {
      if (
        value instanceof Tensor &&
        value.origin === undefined &&
        value.values.length === lengthOf(value.shape)
      )
        return { shape: value.shape, identity: value, outputs: "last" };
      throw new OptimError("invalid-parameter", where, {
        expected: "a Tensor that was not computed from others",
        received: value,
      });
    },

    // Vectors: accumulators and slots.
    allocate: (parameter, initial, length = parameter.length) => new Float32Array(length).fill(initial),
    allocateCopy: ({ value }) => Float32Array.from(value.values),
    release() {},
    write: (vector, data) => vector.set(data),
    read: (vectors) => Promise.resolve(packed(vectors)),
    scalar: (value) => value,
    readScalars: (scalars) => Promise.resolve([...scalars]),

    // Parameters.
    readParameters: (parameters) =>
      Promise.resolve(packed(parameters.map(({ value }) => Float32Array.from(value.values)))),
    writeParameter: ({ value }, data) => assign(value, data),

    // Gradients.
    differentiate,
    accumulate({ accumulator, pending }, gradient) {
      kernels.accumulate(accumulator as Float32Array, Float32Array.from(gradient), 1, !pending);
    },

    // Check, unscale, clip, update.
    stages: hostStages(kernels, {
      open: ({ value }) => Float32Array.from(value.values),
      close: ({ value }, vector) => assign(value, vector),
    }),
    createLossScaler: (settings) => new HostLossScaler("tape", settings),
  };
}

function assign({ values }: Tensor, data: Float32Array): void {
  for (const [index, value] of data.entries()) values[index] = value;
}
