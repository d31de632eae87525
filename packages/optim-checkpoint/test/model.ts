import { createOptimWrapper, type OptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, type AdamHyperparameters, sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { type WasmLoss, wasmOptimizer } from "@mm/optim-wasm";
import { bitsOf } from "../../../test-support/numbers.ts";

export type Lengths = readonly (readonly [name: string, length: number])[];
export type Arrays = { readonly [name: string]: Float32Array };

/** Gradients that no short arithmetic gives: of iteration `n`, the same in every run. */
export function gradientsOf(n: number, lengths: Lengths): WasmLoss {
  return ({ grad, scale }) => {
    for (const [index, [name, length]] of lengths.entries()) {
      const gradient = grad(name);
      for (let at = 0; at < length; at += 1) gradient[at] = Math.sin(n * 7 + index * 3 + at) * scale;
    }
    return n;
  };
}

/** Weights that are not all alike. */
const weights = (lengths: Lengths): Arrays =>
  Object.fromEntries(
    lengths.map(([name, length]) => [name, Float32Array.from({ length }, (_, at) => Math.cos(at))]),
  );

/** The bits of arrays: NaN equals itself, and −0 is not 0. */
export const bits = (arrays: Arrays): unknown =>
  Object.entries(arrays).map(([name, array]) => [name, bitsOf(array)]);

export interface Gan {
  readonly generator: Arrays;
  readonly discriminator: Arrays;
  readonly optim: OptimWrapperDict<{
    generator: OptimWrapper<WasmLoss, number, AdamHyperparameters>;
    discriminator: OptimWrapper<WasmLoss, number, SgdHyperparameters>;
  }>;
  /** One iteration of both. */
  train(n: number): void;
  /** Everything that the next iteration depends on. */
  all(): Promise<unknown>;
}

const generatorLengths: Lengths = [
  ["dense/kernel:0", 6],
  ["dense/bias", 2],
];
const bodyLengths: Lengths = [["100%", 4]];
const headLengths: Lengths = [["__proto__", 1]];

/**
 * Two optimizers without a model: Adam in windows of three with clipping and a dynamic loss scale, and SGD in two groups. Names of
 * parameters hold what a key has to escape.
 */
export function gan(options: OptimWrapperOptions = {}): Gan {
  const generator = weights(generatorLengths);
  const [body, head] = [weights(bodyLengths), weights(headLengths)];
  const optim = new OptimWrapperDict({
    generator: createOptimWrapper(wasmOptimizer(adam({ lr: 0.01, amsgrad: true }), generator), {
      accumulativeCounts: 3,
      clipGrad: { maxNorm: 1 },
      lossScale: { initScale: 256, growthInterval: 2 },
      ...options,
    }),
    discriminator: createOptimWrapper(
      wasmOptimizer(sgd({ lr: 0.1, momentum: 0.9, dampening: 0.1 }), [
        { name: "body", params: body },
        { name: "head", params: head, lr: 0.01 },
      ]),
    ),
  });
  const discriminator = Object.fromEntries([...Object.entries(body), ...Object.entries(head)]);
  return {
    generator,
    discriminator,
    optim,
    train(n) {
      optim.get("discriminator").updateParams(gradientsOf(n, [...bodyLengths, ...headLengths]));
      optim.get("generator").updateParams(gradientsOf(n, generatorLengths));
    },
    all: async () => [await optim.stateDict(), bits(generator), bits(discriminator)],
  };
}

/** A run of so many iterations. */
export function trained(iterations: number, options?: OptimWrapperOptions): Gan {
  const run = gan(options);
  for (let n = 0; n < iterations; n += 1) run.train(n);
  return run;
}
