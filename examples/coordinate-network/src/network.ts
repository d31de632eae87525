import { floats } from "./buffers.ts";
import { createKernel } from "./kernel.ts";
import { dense, encode, inputGradient, lossGradient, weightGradient } from "./kernels.ts";
import type { Random } from "./random.ts";

const frequencyCount = 16;

/** Fourier features of a point → two hidden layers → a colour. */
const shapes = [
  { inputs: 2 * frequencyCount, outputs: 32, rectified: 1 },
  { inputs: 32, outputs: 32, rectified: 1 },
  { inputs: 32, outputs: 3, rectified: 0 },
] as const;

export type ParameterName = keyof typeof parameterLengths;
type PerParameter<T> = Readonly<Record<ParameterName, T>>;

/** How many numbers each parameter has: what an arena is made from. */
export const parameterLengths = {
  weight1: 2 * frequencyCount * 32,
  bias1: 32,
  weight2: 32 * 32,
  bias2: 32,
  weight3: 32 * 3,
  bias3: 3,
};

/** Weights after He et al. (arXiv:1502.01852), normal with variance 2 ÷ inputs; biases are zero. */
export function drawParameters(random: Random): PerParameter<Float32Array> {
  const [weight1, weight2, weight3] = eachLayer(({ inputs, outputs }) =>
    random.normals(inputs * outputs).map((value) => value * Math.sqrt(2 / inputs)),
  );
  const [bias1, bias2, bias3] = [new Float32Array(32), new Float32Array(32), new Float32Array(3)];
  return { weight1, bias1, weight2, bias2, weight3, bias3 };
}

/** `vec2f[16]`: waves across and down the picture. They stay as they are drawn. */
export const drawFrequencies = (random: Random): Float32Array =>
  random.normals(2 * frequencyCount).map((value) => value * 2);

/** The buffers that every run of the network reads, as they are then. They stay the caller's. */
export interface Weights {
  readonly frequencies: GPUBufferBinding;
  readonly parameters: PerParameter<GPUBufferBinding>;
}

/** From points to colours, so many at a time: a multiple of 4. Data of points lie feature by feature, see kernels.ts. */
export interface Forward {
  /** `f32[2, count]`: where to look, x and y from 0 to 1. */
  readonly points: GPUBufferBinding;
  /** The input of each layer, `f32[32, count]`. */
  readonly inputs: readonly [GPUBufferBinding, GPUBufferBinding, GPUBufferBinding];
  /** `f32[3, count]` */
  readonly colours: GPUBufferBinding;
  /** Records 4 dispatches. */
  record(pass: GPUComputePassEncoder): void;
  dispose(): void;
}

export function createForward(
  device: GPUDevice,
  count: number,
  { frequencies, parameters }: Weights,
): Forward {
  const points = floats(device, "points", 2 * count);
  const x1 = floats(device, "features", 2 * frequencyCount * count);
  const x2 = floats(device, "hidden 1", 32 * count);
  const x3 = floats(device, "hidden 2", 32 * count);
  const colours = floats(device, "colours", 3 * count);
  const quads = count / 4;
  const toFeatures = createKernel(device, encode, { quads, frequencyCount }, frequencyCount * quads);
  const [layer1, layer2, layer3] = eachLayer(({ inputs, outputs, rectified }) =>
    createKernel(device, dense, { quads, inputs, outputs, rectified }, outputs * quads),
  );
  const { weight1, bias1, weight2, bias2, weight3, bias3 } = parameters;
  return {
    points,
    inputs: [x1, x2, x3],
    colours,
    record(pass) {
      toFeatures(pass, [frequencies, points, x1]);
      layer1(pass, [x1, weight1, bias1, x2]);
      layer2(pass, [x2, weight2, bias2, x3]);
      layer3(pass, [x3, weight3, bias3, colours]);
    },
    dispose() {
      for (const { buffer } of [points, x1, x2, x3, colours]) buffer.destroy();
    },
  };
}

/** From colours back to the gradients of the loss, the mean of the squared differences from what is wanted. */
export interface Backward {
  /** `f32[3, count]` */
  readonly wanted: GPUBufferBinding;
  /** Records 6 dispatches: after the forward pass that it was made for, they write the gradients of `scale` × loss. */
  record(
    pass: GPUComputePassEncoder,
    gradient: (name: ParameterName) => GPUBufferBinding,
    scale: GPUBufferBinding,
  ): void;
  dispose(): void;
}

export function createBackward(
  device: GPUDevice,
  count: number,
  { parameters: { weight2, weight3 } }: Weights,
  { inputs: [x1, x2, x3], colours }: Forward,
): Backward {
  const wanted = floats(device, "wanted", 3 * count);
  const dColours = floats(device, "gradient of colours", 3 * count);
  const dx3 = floats(device, "gradient of hidden 2", 32 * count);
  const dx2 = floats(device, "gradient of hidden 1", 32 * count);
  const quads = count / 4;
  const begin = createKernel(device, lossGradient, { elements: 3 * count }, 3 * quads);
  const [toWeights1, toWeights2, toWeights3] = eachLayer(({ inputs, outputs }) =>
    createKernel(device, weightGradient, { quads, inputs, outputs }, (inputs + 1) * outputs),
  );
  const [, toInputs2, toInputs3] = eachLayer(({ inputs, outputs }) =>
    createKernel(device, inputGradient, { quads, inputs, outputs }, inputs * quads),
  );
  return {
    wanted,
    record(pass, gradient, scale) {
      begin(pass, [colours, wanted, scale, dColours]);
      toWeights3(pass, [x3, dColours, gradient("weight3"), gradient("bias3")]);
      toInputs3(pass, [x3, weight3, dColours, dx3]);
      toWeights2(pass, [x2, dx3, gradient("weight2"), gradient("bias2")]);
      toInputs2(pass, [x2, weight2, dx3, dx2]);
      toWeights1(pass, [x1, dx2, gradient("weight1"), gradient("bias1")]);
    },
    dispose() {
      for (const { buffer } of [wanted, dColours, dx3, dx2]) buffer.destroy();
    },
  };
}

function eachLayer<T>(make: (shape: (typeof shapes)[number]) => T): readonly [T, T, T] {
  return [make(shapes[0]), make(shapes[1]), make(shapes[2])];
}
