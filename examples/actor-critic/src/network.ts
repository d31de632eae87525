import { createArena } from "@mm/optim-wasm";
import { observationSize } from "./cart-pole.ts";
import type { Random } from "./random.ts";

/** Observation → 64 tanh → one number. Weights are in an arena: optimizers update them where they are. */
export type Network = ReturnType<typeof createNetwork>;

type WeightName = keyof Network;

const hiddenSize = 64;

/** Kernels: normal with variance 1 ÷ inputs; that of the output times `outputScale`. Biases are zero. */
export function createNetwork({ normal }: Random, outputScale: number) {
  const network = createArena({
    "hidden.kernel": observationSize * hiddenSize,
    "hidden.bias": hiddenSize,
    "output.kernel": hiddenSize,
    "output.bias": 1,
  });
  const fill = (kernel: Float32Array, deviation: number) =>
    kernel.set(kernel.map(() => deviation * normal()));
  fill(network["hidden.kernel"], 1 / Math.sqrt(observationSize));
  fill(network["output.kernel"], outputScale / Math.sqrt(hiddenSize));
  return network;
}

/** The result of a pass forward, which a pass backward needs. */
export interface Activations {
  /** [rows, observationSize] */
  readonly inputs: Float32Array;
  /** [rows, hiddenSize] */
  readonly hidden: Float32Array;
  /** [rows] */
  readonly outputs: Float32Array;
}

/** @param inputs [rows, observationSize] */
export function forward(network: Network, inputs: Float32Array): Activations {
  const columns = observationSize;
  const rows = inputs.length / columns;
  const [kernel, bias] = [network["hidden.kernel"], network["hidden.bias"]];
  const [outputKernel, [outputBias = 0]] = [network["output.kernel"], network["output.bias"]];
  const hidden = new Float32Array(rows * hiddenSize);
  const outputs = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let output = outputBias;
    for (let unit = 0; unit < hiddenSize; unit++) {
      let sum = bias[unit]!;
      for (let i = 0; i < columns; i++) sum += inputs[row * columns + i]! * kernel[i * hiddenSize + unit]!;
      const value = Math.tanh(sum);
      hidden[row * hiddenSize + unit] = value;
      output += value * outputKernel[unit]!;
    }
    outputs[row] = output;
  }
  return { inputs, hidden, outputs };
}

/**
 * Adds the gradients of the weights.
 *
 * @param outputGradients [rows]: of the loss by the outputs
 */
export function backward(
  network: Network,
  { inputs, hidden }: Activations,
  outputGradients: Float32Array,
  grad: (name: WeightName) => Float32Array,
): void {
  const columns = observationSize;
  const [kernel, bias] = [grad("hidden.kernel"), grad("hidden.bias")];
  const [outputKernel, outputBias] = [grad("output.kernel"), grad("output.bias")];
  outputGradients.forEach((gradient, row) => {
    outputBias[0]! += gradient;
    for (let unit = 0; unit < hiddenSize; unit++) {
      const value = hidden[row * hiddenSize + unit]!;
      outputKernel[unit]! += gradient * value;
      // tanh′ = 1 − tanh²
      const inner = gradient * network["output.kernel"][unit]! * (1 - value * value);
      bias[unit]! += inner;
      for (let i = 0; i < columns; i++) kernel[i * hiddenSize + unit]! += inner * inputs[row * columns + i]!;
    }
  });
}
