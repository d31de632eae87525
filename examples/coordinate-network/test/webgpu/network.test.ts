import { beforeAll, expect, it } from "vitest";
import { floats, read, write } from "../../src/buffers.ts";
import { noAdapter, openDevice } from "../../src/device.ts";
import {
  createBackward,
  createForward,
  drawFrequencies,
  drawParameters,
  type ParameterName,
} from "../../src/network.ts";
import { createRandom } from "../../src/random.ts";
import { colours, type Given, gradients, loss } from "./reference.ts";

const count = 52;
const random = createRandom(1);
const given: Given & { readonly parameters: ReturnType<typeof drawParameters> } = {
  frequencies: drawFrequencies(random),
  parameters: {
    ...drawParameters(random),
    bias1: random.normals(32),
    bias2: random.normals(32),
    bias3: random.normals(3),
  },
  points: random.normals(2 * count),
  wanted: random.normals(3 * count),
};
const names = Object.keys(given.parameters) as ParameterName[];

let device: GPUDevice;
beforeAll(async () => {
  const opened = await openDevice();
  if (opened === undefined) throw new Error(noAdapter);
  device = opened.device;
  return () => opened.close();
});

const upload = (values: ArrayLike<number>): GPUBufferBinding => {
  const binding = floats(device, "test", values.length);
  write(device, binding, Float32Array.from(values));
  return binding;
};

const perParameter = <T>(value: (name: ParameterName) => T): Record<ParameterName, T> =>
  Object.fromEntries(names.map((name) => [name, value(name)])) as Record<ParameterName, T>;

it("the reference's gradients are what the loss does when a parameter moves", () => {
  const exact = gradients(given);
  for (const name of names) {
    const values = Array.from(given.parameters[name]);
    const index = Math.floor(values.length / 2);
    const moved = (by: number): number => {
      const changed = values.map((value, i) => (i === index ? value + by : value));
      return loss({ ...given, parameters: { ...given.parameters, [name]: changed } });
    };
    // Central differences: an error of h² against a rounding error of 1e-16 ÷ h.
    expect((moved(1e-5) - moved(-1e-5)) / 2e-5).toBeCloseTo(exact[name]![index]!, 8);
  }
});

it("the kernels give the reference's colours and gradients, times the scale", async () => {
  const weights = {
    frequencies: upload(given.frequencies),
    parameters: perParameter((name) => upload(given.parameters[name])),
  };
  const forward = createForward(device, count, weights);
  const backward = createBackward(device, count, weights, forward);
  write(device, forward.points, Float32Array.from(given.points));
  write(device, backward.wanted, Float32Array.from(given.wanted));
  const written = perParameter((name) => upload(new Float32Array(given.parameters[name].length).fill(9)));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  forward.record(pass);
  backward.record(pass, (name) => written[name], upload([8]));
  pass.end();
  device.queue.submit([encoder.finish()]);

  // float32 sums of at most 52 terms of order 1, and sines of phases up to 30: errors of some 1e-5.
  expect(difference(await read(device, forward.colours), colours(given))).toBeLessThan(1e-4);
  const exact = gradients(given);
  for (const name of names) {
    const eightfold = exact[name]!.map((value) => 8 * value);
    expect(difference(await read(device, written[name]), eightfold)).toBeLessThan(1e-4);
  }
});

/** The largest, relative to the largest exact value. */
function difference(got: Float32Array, exact: readonly number[]): number {
  const largest = Math.max(...exact.map(Math.abs));
  return Math.max(...exact.map((value, i) => Math.abs((got[i] ?? Number.NaN) - value))) / largest;
}
