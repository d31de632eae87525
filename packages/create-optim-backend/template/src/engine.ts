import { OptimError } from "@mm/optim-core";
import {
  allOperations,
  arrayKernels,
  type Engine,
  hostCapabilities,
  HostLossScaler,
  hostStages,
  packed,
} from "@mm/optim-core/backend";
import { differentiate, type ExampleLoss } from "./differentiate.ts";
import { Variable } from "./variable.ts";

/** Loss, its value, parameter, vector (accumulators and slots), gradient, scalar: here the host decides, and scalars are numbers. */
export type ExampleEngine = Engine<ExampleLoss, number, Variable, Float32Array, Float32Array, number>;

/**
 * The engine that core asks of a backend. Arguments were checked, calls come in order and never after `dispose`; only what core cannot see is
 * checked here.
 */
export function exampleEngine(): ExampleEngine {
  // Core's reference evaluation: right everywhere, and slow. Kernels of your own come last, when the kit is green.
  const kernels = arrayKernels();
  return {
    backend: "example",
    // All that a backend can do. Take back what yours cannot: the kit skips by it, and by nothing else.
    capabilities: hostCapabilities,
    operations: allOperations,

    describe(value, where) {
      if (value instanceof Variable && value.data.length === lengthOf(value.shape))
        return { shape: value.shape, identity: value.data };
      throw new OptimError("invalid-parameter", where, {
        expected: "a Variable with as many elements as its shape has",
        received: value,
      });
    },

    // Vectors: accumulators and slots.
    allocate: (parameter, initial, length = parameter.length) => new Float32Array(length).fill(initial),
    allocateCopy: ({ value }) => value.data.slice(),
    release() {},
    write: (vector, data) => vector.set(data),
    read: (vectors) => Promise.resolve(packed(vectors)),
    scalar: (value) => value,
    readScalars: (scalars) => Promise.resolve([...scalars]),

    // Parameters.
    readParameters: (parameters) => Promise.resolve(packed(parameters.map(({ value }) => value.data))),
    writeParameter: ({ value }, data) => value.data.set(data),

    // Gradients.
    differentiate,
    accumulate({ accumulator, pending }, gradient) {
      kernels.accumulate(accumulator as Float32Array, gradient, 1, !pending);
    },

    // Check, unscale, clip, update. `open` gives a parameter's elements to the kernels; `close` takes them back, where they are a copy.
    stages: hostStages(kernels, { open: ({ value }) => value.data }),
    createLossScaler: (settings) => new HostLossScaler("example", settings),
  };
}

const lengthOf = (shape: readonly number[]): number => shape.reduce((length, side) => length * side, 1);
