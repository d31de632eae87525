import {
  type BaseHyperparameters,
  OptimError,
  type Optimizer,
  type ParameterInfo,
  type ParametersInput,
  type SlotStorage,
} from "@mm/optim-core";
import {
  allOperations,
  arrayKernels,
  createOptimizer,
  type Engine,
  hostCapabilities,
  HostLossScaler,
  hostStages,
  packed,
  type ParameterDescription,
  type VectorKernels,
} from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { LinearTerm, OptimizerFactory } from "./factory.ts";

/** The argument of a loss closure over arrays. */
export interface GradientPass {
  /**
   * The gradient of a parameter, for the closure to fill: zeros at first, as long as the parameter, private to this call. Asking for it
   * declares that the parameter has a gradient.
   *
   * @throws OptimError `unknown-parameter`
   */
  readonly grad: (name: string) => Float32Array;
  /** Seeds the closure's backward pass: the gradients are those of `scale` × loss. */
  readonly scale: number;
}

/** Computes a loss, writes its gradients, and returns its own value. */
export type GradientClosure = (pass: GradientPass) => number;

/** A parameter of the reference backend; an array alone has one dimension. */
export type ReferenceParameter =
  Float32Array | { readonly data: Float32Array; readonly shape: readonly number[] };

/** Counts the vectors that optimizers hold. */
export interface Allocations {
  live: number;
}

/** Options of the reference backend, for those who build on it. */
export interface ReferenceOptions {
  /** Counts accumulators and slots. */
  readonly allocations?: Allocations;
  /** Other arithmetic over arrays, to be compared with. */
  readonly kernels?: VectorKernels<Float32Array>;
  readonly slotDtype?: SlotStorage | undefined;
}

/**
 * The reference backend: update rules evaluated in plain TypeScript, in place, over the caller's arrays. Slow, and what other backends
 * are compared with.
 *
 * @throws OptimError as `createOptimizer` of `@mm/optim-core/backend`
 */
export function referenceOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: ParametersInput<ReferenceParameter, H>,
  options: ReferenceOptions = {},
): Optimizer<GradientClosure, number, H> {
  const engine = referenceEngine(() => optimizer.parameters, options);
  const optimizer: Optimizer<GradientClosure, number, H> = createOptimizer(
    "referenceOptimizer",
    engine,
    rule,
    parameters,
    { slotDtype: options.slotDtype },
  );
  return optimizer;
}

export type ReferenceEngine = Engine<
  GradientClosure,
  number,
  ReferenceParameter,
  Float32Array,
  Float32Array,
  number
>;

/** The engine alone. `known` gives all parameters of the optimizer, frozen ones too. */
export function referenceEngine(
  known: () => readonly ParameterInfo[],
  { allocations = { live: 0 }, kernels = arrayKernels() }: ReferenceOptions = {},
): ReferenceEngine {
  return {
    backend: "reference",
    capabilities: { ...hostCapabilities, slotDtypes: ["float32", "bfloat16"] },
    operations: allOperations,
    describe,
    reserve: (program, extents) => kernels.reserve(program, extents),
    allocate(parameter, initial, length = parameter.length) {
      allocations.live += 1;
      return new Float32Array(length).fill(initial);
    },
    allocateCopy({ value }) {
      allocations.live += 1;
      return dataOf(value).slice();
    },
    release() {
      allocations.live -= 1;
    },
    write(vector, data) {
      vector.set(data);
    },
    read: (vectors) => Promise.resolve(packed(vectors)),
    readSync: (vectors) => packed(vectors),
    readParameters: (parameters) => Promise.resolve(packed(parameters.map(({ value }) => dataOf(value)))),
    writeParameter(parameter, data) {
      dataOf(parameter.value).set(data);
    },
    scalar: (value) => value,
    readScalars: (scalars) => Promise.resolve([...scalars]),

    differentiate(loss, { parameters, scale, lossScale = 1, returnLoss }) {
      const lengths = new Map(known().map(({ name, shape }) => [name, lengthOf(shape)]));
      const gradients = new Map<string, Float32Array>();
      const grad = (name: string): Float32Array => {
        const length = lengths.get(name);
        if (length === undefined) {
          throw new OptimError("unknown-parameter", "loss closure: grad", {
            expected: `one of ${[...lengths.keys()].join(", ")}`,
            received: name,
          });
        }
        const gradient = gradients.get(name) ?? new Float32Array(length);
        gradients.set(name, gradient);
        return gradient;
      };
      const value: unknown = loss({ grad, scale: scale * lossScale });
      if (typeof value !== "number") {
        throw new OptimError("invalid-loss", "loss closure", {
          expected: "a number, returned at once",
          received: value,
        });
      }
      return {
        value: returnLoss ? value : undefined,
        gradients: parameters.flatMap((parameter) => {
          const gradient = gradients.get(parameter.name);
          return gradient === undefined ? [] : [[parameter, gradient] as const];
        }),
      };
    },
    accumulate(parameter, gradient) {
      kernels.accumulate(parameter.accumulator as Float32Array, gradient, 1, !parameter.pending);
    },
    stages: hostStages(kernels, { open: ({ value }) => dataOf(value) }),
    createLossScaler: (settings) => new HostLossScaler("reference", settings),
  };
}

/** The reference backend, as the kit takes backends. */
export function referenceFactory(
  name = "reference",
  options: ReferenceOptions = {},
): OptimizerFactory<ReferenceParameter, GradientClosure, number> {
  const allocations = options.allocations ?? { live: 0 };
  return {
    name,
    storageOf: dataOf,
    tolerance: "exact",
    createParameter: (values, shape) => ({ data: values.slice(), shape }),
    createOptimizer: (rule, parameters, slots) =>
      referenceOptimizer(rule, parameters, { ...options, allocations, ...slots }),
    linearLoss: (terms) => linearClosure(terms, dataOf),
    readLoss: (value) => value,
    liveAllocations: () => allocations.live,
  };
}

/** The loss Σ ⟨parameter, gradient⟩ for backends whose closures write gradients into arrays. `dataOf` finds a parameter's elements. */
export function linearClosure<P>(
  terms: readonly LinearTerm<P>[],
  dataOf: (parameter: P) => Float32Array,
): GradientClosure {
  return ({ grad, scale }) => {
    // As a library in float32 would have it.
    const seed = Math.fround(scale);
    let loss = 0;
    for (const { name, parameter, gradient } of terms) {
      const into = grad(name);
      const data = dataOf(parameter);
      for (let i = 0; i < into.length; i += 1) {
        into[i] = (gradient[i] as number) * seed;
        loss += (data[i] as number) * (gradient[i] as number);
      }
    }
    return loss;
  };
}

function describe(value: ReferenceParameter, where: string): ParameterDescription {
  const data: unknown = value instanceof Float32Array ? value : (value as Partial<typeof value> | null)?.data;
  if (!(data instanceof Float32Array)) {
    throw new OptimError("invalid-parameter", where, {
      expected: "a Float32Array, or { data, shape }",
      received: value,
    });
  }
  const shape = value instanceof Float32Array ? [value.length] : value.shape;
  if (lengthOf(shape) !== data.length) {
    throw new OptimError("invalid-parameter", where, {
      expected: `${lengthOf(shape)} elements for its shape`,
      received: data.length,
    });
  }
  return { shape, identity: data };
}

function dataOf(parameter: ReferenceParameter): Float32Array {
  return parameter instanceof Float32Array ? parameter : parameter.data;
}

function lengthOf(shape: readonly number[]): number {
  return shape.reduce((length, side) => length * side, 1);
}
