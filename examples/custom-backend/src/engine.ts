import { numpy as np } from "@jax-js/jax";
import { OptimError } from "@mm/optim-core";
import {
  allOperations,
  arrayKernels,
  type Engine,
  HostLossScaler,
  hostStages,
  packed,
} from "@mm/optim-core/backend";
import { differentiate, type JaxLoss } from "./differentiate.ts";
import { dataOf, Variable } from "./variable.ts";

/**
 * jax-js differentiates; the update rule runs on the host, over Float32Arrays, by core's reference evaluation. A parameter is read before
 * its update and assigned after it.
 */
export function jaxEngine(): Engine<JaxLoss, np.Array, Variable, Float32Array, np.Array, number> {
  const kernels = arrayKernels();
  return {
    backend: "jax-js",
    capabilities: {
      decides: "host",
      inPlace: false,
      rules: true,
      liveHyperparameters: true,
      groups: true,
      perParameterSteps: true,
      portableState: true,
      transfer: true,
      maxParameterLength: Number.POSITIVE_INFINITY,
    },
    operations: allOperations,

    describe(value, where) {
      if (value instanceof Variable && value.array.refCount > 0 && value.array.dtype === np.float32)
        return { shape: value.shape, identity: value };
      throw new OptimError("invalid-parameter", where, {
        expected: "a Variable of float32 that was not disposed",
        received: value,
      });
    },

    // Vectors: accumulators and slots.
    allocate: (parameter, initial, length = parameter.length) => new Float32Array(length).fill(initial),
    allocateCopy: ({ value }) => dataOf(value.array.ref).slice(),
    release() {},
    write: (vector, data) => vector.set(data),
    read: (vectors) => Promise.resolve(packed(vectors)),
    scalar: (value) => value,
    readScalars: (scalars) => Promise.resolve([...scalars]),

    // Parameters.
    readParameters: (parameters) =>
      Promise.resolve(packed(parameters.map(({ value }) => dataOf(value.array.ref)))),
    writeParameter: ({ value }, data) => value.assign(data),

    // Gradients.
    differentiate,
    accumulate({ accumulator, pending }, gradient) {
      kernels.accumulate(accumulator as Float32Array, dataOf(gradient), 1, !pending);
    },

    // Check, unscale, clip, update.
    stages: hostStages(kernels, {
      open: ({ value }) => dataOf(value.array.ref),
      close: ({ value }, vector) => value.assign(vector),
    }),
    createLossScaler: (settings) => new HostLossScaler("jax-js", settings),
  };
}
