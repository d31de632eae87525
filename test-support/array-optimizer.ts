import type { BaseHyperparameters, Optimizer, ParametersInput } from "@mm/optim-core";
import {
  allOperations,
  arrayKernels,
  createOptimizer,
  hostCapabilities,
  HostLossScaler,
  hostStages,
  type Outputs,
} from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";

/** A loss that says what its gradients are: a parameter that it does not name has none. */
export type GivenGradients = () => { readonly [name: string]: ArrayLike<number> };

/**
 * An optimizer over plain arrays, evaluated by core's reference: the least that runs a rule as users run it.
 *
 * @param outputs which dimension of a shape counts the outputs of a layer
 */
export function arrayOptimizer<H extends BaseHyperparameters, R extends BaseHyperparameters = H>(
  rule: UpdateRule<H>,
  parameters: ParametersInput<Float32Array, H>,
  outputs: Outputs = "first",
): Optimizer<GivenGradients, undefined, H, R> {
  const kernels = arrayKernels();
  const copies = (vectors: readonly Float32Array[]): Promise<Float32Array[]> =>
    Promise.resolve(vectors.map((vector) => vector.slice()));
  return createOptimizer<GivenGradients, undefined, Float32Array, Float32Array, Float32Array, number, H, R>(
    "arrayOptimizer",
    {
      backend: "array",
      capabilities: hostCapabilities,
      operations: allOperations,
      describe: (value) => ({ shape: [value.length], outputs, identity: value }),
      reserve: (program, extents) => kernels.reserve(program, extents),
      allocate: (parameter, initial, length = parameter.length) => new Float32Array(length).fill(initial),
      allocateCopy: ({ value }) => value.slice(),
      release: () => {},
      write: (vector, data) => vector.set(data),
      read: copies,
      readParameters: (all) => copies(all.map(({ value }) => value)),
      writeParameter: ({ value }, data) => value.set(data),
      scalar: (value) => value,
      readScalars: (scalars) => Promise.resolve([...scalars]),
      differentiate(loss, { parameters: all }) {
        const given = loss();
        return {
          value: undefined,
          gradients: all.flatMap((parameter) => {
            const gradient = given[parameter.name];
            return gradient === undefined ? [] : [[parameter, Float32Array.from(gradient)] as const];
          }),
        };
      },
      accumulate({ accumulator, pending }, gradient, { scale, lossScale = 1 }) {
        const scaled = gradient.map((value) => value * lossScale);
        kernels.accumulate(accumulator as Float32Array, scaled, scale, !pending);
      },
      stages: hostStages(kernels, { open: ({ value }) => value }),
      createLossScaler: (settings) => new HostLossScaler("array", settings),
    },
    rule,
    parameters,
  );
}

/** One step with these gradients. */
export function stepWith(
  optimizer: Pick<Optimizer<GivenGradients, undefined>, "backward" | "step" | "zeroGrad">,
  gradients: ReturnType<GivenGradients>,
): void {
  optimizer.backward(() => gradients);
  optimizer.step();
  optimizer.zeroGrad();
}
