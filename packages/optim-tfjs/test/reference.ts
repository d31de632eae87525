import type { BaseHyperparameters, Optimizer, ParametersInput } from "@mm/optim-core";
import {
  arrayKernels,
  createOptimizer,
  hostCapabilities,
  HostLossScaler,
  hostStages,
} from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";

/** Gradients by name; a parameter that is not named has none. */
export type Gradients = { readonly [name: string]: Float32Array };

/** Core's reference evaluation over plain arrays, with given gradients: what the tfjs backends are compared with. */
export function referenceOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: ParametersInput<Float32Array, H>,
): Optimizer<() => Gradients, undefined, H> {
  const kernels = arrayKernels();
  const copies = (arrays: readonly Float32Array[]): Promise<Float32Array[]> =>
    Promise.resolve(arrays.map((array) => array.slice()));
  return createOptimizer<() => Gradients, undefined, Float32Array, Float32Array, Float32Array, number, H>(
    "referenceOptimizer",
    {
      backend: "reference",
      capabilities: hostCapabilities,
      describe: (value) => ({ shape: [value.length], identity: value }),
      allocate: ({ length }, initial) => new Float32Array(length).fill(initial),
      release() {},
      write: (vector, data) => vector.set(data),
      read: copies,
      readParameters: (all) => copies(all.map(({ value }) => value)),
      writeParameter: ({ value }, data) => value.set(data),
      scalar: (value) => value,
      readScalars: (scalars) => Promise.resolve(scalars),
      differentiate: (loss, { parameters: all }) => {
        const given = loss();
        return {
          value: undefined,
          gradients: all.flatMap((parameter) => {
            const gradient = given[parameter.name];
            return gradient === undefined ? [] : [[parameter, gradient] as const];
          }),
        };
      },
      accumulate({ accumulator, pending }, gradient, { scale, lossScale = 1 }) {
        const scaled = gradient.map((value) => value * lossScale);
        kernels.accumulate(accumulator as Float32Array, scaled, scale, !pending);
      },
      stages: hostStages(kernels, { open: ({ value }) => value }),
      createLossScaler: (settings) => new HostLossScaler("reference", settings),
    },
    rule,
    parameters,
  );
}

/** Numbers in [−1, 1) that are the same in every run (Park & Miller's generator). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return (2 * state) / 2147483647 - 1;
  };
}

export function randomArray(length: number, random: () => number): Float32Array {
  return Float32Array.from({ length }, random);
}

/** The largest difference between two arrays; NaN where only one of two elements is NaN, or their lengths differ. */
export function distance(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Number.NaN;
  let worst = 0;
  for (let index = 0; index < expected.length; index += 1) {
    if (!Object.is(found[index], expected[index]))
      worst = Math.max(worst, Math.abs(found[index]! - expected[index]!));
  }
  return worst;
}
