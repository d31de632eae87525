import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { createArena, webgpuOptimizer, type WebgpuParameters } from "@mm/optim-webgpu";
import { expect } from "vitest";
import { arrayOptimizer } from "../../../../test-support/array-optimizer.ts";
import { ordinaryArray, randomNumbers } from "../../../../test-support/numbers.ts";
import { readFloats, storageBuffer } from "./read.ts";

export type Shapes = { readonly [name: string]: readonly number[] };
export type Values = { readonly [name: string]: Float32Array };

export const lengthsOf = (shapes: Shapes): { readonly [name: string]: number } =>
  Object.fromEntries(
    Object.entries(shapes).map(([name, sides]) => [name, sides.reduce((product, side) => product * side, 1)]),
  );

export const valuesFor = (shapes: Shapes, random: () => number): Values =>
  Object.fromEntries(
    Object.entries(lengthsOf(shapes)).map(([name, length]) => [name, ordinaryArray(random, length)]),
  );

/** An arena with these values. */
export function arenaWith(device: GPUDevice, values: Values): WebgpuParameters {
  const lengths = Object.fromEntries(Object.entries(values).map(([name, { length }]) => [name, length]));
  const arena = createArena(device, lengths);
  for (const [name, { buffer, offset }] of Object.entries(arena))
    device.queue.writeBuffer(buffer, offset, values[name] as Float32Array<ArrayBuffer>);
  return arena;
}

/** Ranges of buffers that begin anywhere, with these values. */
function buffersWith(device: GPUDevice, values: Values): WebgpuParameters {
  return Object.fromEntries(
    Object.entries(values).map(([name, { length }], index) => {
      const before = 1 + (index % 4);
      const all = new Float32Array(before + length);
      all.set(values[name]!, before);
      return [name, { buffer: storageBuffer(device, all), offset: 4 * before, length }];
    }),
  );
}

/** Makes of parameters the groups of an optimizer: the same on every backend. */
export type GroupsOf = <P>(params: { readonly [name: string]: P }) => readonly {
  readonly params: { readonly [name: string]: P };
  readonly shapes?: Shapes;
  readonly rule?: UpdateRule;
}[];

/** The largest |a − b|, NaN and infinity apart, which have to be the same. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let i = 0; i < a.length; i += 1) {
    const [x, y] = [a[i]!, b[i]!];
    if (Object.is(x, y)) continue;
    most = Math.max(
      most,
      Number.isFinite(x) && Number.isFinite(y) ? Math.abs(x - y) : Number.POSITIVE_INFINITY,
    );
  }
  return most;
}

export interface Beside {
  readonly parameters: number;
  readonly slots: number;
  /** Of scalar slots, relative to the reference's. */
  readonly scalars: number;
}

/**
 * Updates an arena on the device and arrays in core's reference with the same gradients, and gives how far they are from each other at the end.
 * Step counts have to be the same.
 */
export async function besideReference(
  device: GPUDevice,
  base: UpdateRule,
  shapes: Shapes,
  groupsOf: GroupsOf,
  {
    updates = 5,
    gradients = valuesFor,
    options = {},
    home = "arena",
  }: {
    readonly updates?: number;
    readonly gradients?: (shapes: Shapes, random: () => number, update: number) => Values;
    readonly options?: OptimWrapperOptions;
    readonly home?: "arena" | "buffers";
  } = {},
): Promise<Beside> {
  const random = randomNumbers(5);
  const values = valuesFor(shapes, random);
  const arena = home === "arena" ? arenaWith(device, values) : buffersWith(device, values);
  const mine = createOptimWrapper(webgpuOptimizer(base, groupsOf(arena) as never, { device }), options);
  const reference = createOptimWrapper(arrayOptimizer(base, groupsOf(values) as never), options);
  for (let update = 0; update < updates; update += 1) {
    const given = gradients(shapes, random, update);
    for (const { optimizer } of [mine, reference]) {
      optimizer.writeGradients(given);
    }
    for (const each of [mine, reference]) {
      each.step();
      each.zeroGrad();
    }
  }
  const [found, expected] = await Promise.all([mine.optimizer.stateDict(), reference.optimizer.stateDict()]);
  let [parameters, slots, scalars] = [0, 0, 0];
  for (const [name, binding] of Object.entries(arena)) {
    const expectedValues = values[name]!;
    const all = await readFloats(device, binding as GPUBufferBinding);
    // No binding is empty.
    parameters = Math.max(
      parameters,
      largestDifference(all.subarray(0, expectedValues.length), expectedValues),
    );
  }
  for (const [index, entry] of found.params.entries()) {
    const wanted = expected.params[index]!;
    expect([entry.name, entry.step]).toEqual([wanted.name, wanted.step]);
    for (const [name, slot] of Object.entries(wanted.slots))
      slots = Math.max(slots, largestDifference(entry.slots[name]!, slot));
    for (const [name, value] of Object.entries(wanted.scalarSlots)) {
      const difference = Math.abs(entry.scalarSlots[name]! - value);
      scalars = Math.max(scalars, difference === 0 ? 0 : difference / Math.abs(value));
    }
  }
  mine.dispose();
  return { parameters, slots, scalars };
}
