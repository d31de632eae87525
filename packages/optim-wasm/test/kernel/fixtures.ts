import {
  arrayKernels,
  type ElementNode,
  operandsOf,
  type Program,
  type UniformSource,
} from "@mm/optim-core/backend";
import { type Vector, wasmKernels } from "@mm/optim-wasm/kernel";
import { expect } from "vitest";

/** Lengths around the groups of 4 and 16 elements that the loops take, and none at all. */
export const lengths: readonly number[] = [0, 1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 63, 64, 65, 1000];

const { fround } = Math;

/** Zeros, NaN, infinities, the smallest and the largest denormal and normal numbers, and ordinary ones. */
export const edges: readonly number[] = [
  ...[0, -0, NaN, Infinity, -Infinity],
  ...[2 ** -149, -(2 ** -149), 2 ** -126 - 2 ** -149, 2 ** -126, -(2 ** -126)],
  ...[fround(1e-30), fround(-1e-30), fround(3.4028235e38), fround(-3.4028235e38), fround(1e20)],
  ...[1, -1, 0.5, fround(0.1), fround(-0.3), 3, 16777215, 1 + 2 ** -23, 1 - 2 ** -24],
];

/** mulberry32: the same numbers on every machine. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A third edges, the rest spread over magnitudes from 1e-8 to 1e8. */
export function anyNumber(random: () => number): number {
  if (random() < 1 / 3) return edges[Math.floor(random() * edges.length)] as number;
  return fround((random() < 0.5 ? -1 : 1) * 10 ** (16 * random() - 8));
}

export function anyArray(random: () => number, length: number): Float32Array {
  return Float32Array.from({ length }, () => anyNumber(random));
}

/** A program around nodes that a test writes down. */
export function program(
  nodes: readonly ElementNode[],
  outputs: { readonly param: number; readonly slots?: readonly number[] },
  norms: readonly number[] = [],
): Program {
  const varying: boolean[] = [];
  let uniforms = 0;
  for (const node of nodes) {
    const leaf = node.op === "param" || node.op === "grad" || node.op === "slot";
    varying.push(leaf || operandsOf(node).some((operand) => varying[operand] === true));
    if (node.op === "uniform") uniforms = Math.max(uniforms, node.uniform + 1);
  }
  const slots = outputs.slots ?? [];
  return {
    label: "a test",
    slots: slots.map((_, index) => `slot${index}`),
    scalarSlots: [],
    nodes,
    varying,
    outputs: { param: outputs.param, slots },
    uniforms: Array.from({ length: uniforms }, (): UniformSource => ({ from: "gradFactor" })),
    scalars: [],
    scalarOutputs: [],
    norms,
  };
}

/** The same vectors in a memory, which are 4 (not 16) bytes aligned as in a foreign heap, with guards around them. */
export class Heap {
  readonly memory = new WebAssembly.Memory({ initial: 1 });
  readonly kernels = wasmKernels(this.memory);
  #top = 4;

  vector(data: Float32Array): Vector {
    const vector = { pointer: this.#top + 4, length: data.length };
    this.#top = vector.pointer + 4 * data.length + 4;
    const missing = Math.ceil(this.#top / 65_536) - this.memory.buffer.byteLength / 65_536;
    if (missing > 0) this.memory.grow(missing);
    const guarded = new Float32Array(this.memory.buffer, vector.pointer - 4, data.length + 2);
    guarded.fill(guard);
    guarded.set(data, 1);
    return vector;
  }

  read({ pointer, length }: Vector): Float32Array {
    const guarded = new Float32Array(this.memory.buffer, pointer - 4, length + 2);
    expect([guarded[0], guarded[length + 1]], "elements before and after a vector").toEqual([guard, guard]);
    return guarded.slice(1, -1);
  }
}

const guard = 12_345;

/** Runs a program by reference and by kernel, and holds the one to the other to the bit. */
export function compareUpdate(
  it: Program,
  param: Float32Array,
  grad: Float32Array,
  slots: readonly Float32Array[],
  uniforms: Float32Array,
): void {
  const expected = [param, ...slots].map((data) => data.slice());
  const heap = new Heap();
  const vectors = [param, ...slots].map((data) => heap.vector(data));
  const gradient = heap.vector(grad);
  if (it.norms.length > 0) {
    const sums = [new Float64Array(it.norms.length), new Float64Array(it.norms.length)] as const;
    arrayKernels().norms(it, expected[0] as Float32Array, grad, expected.slice(1), uniforms, sums[0]);
    heap.kernels.norms(it, vectors[0] as Vector, gradient, vectors.slice(1), uniforms, sums[1]);
    expect([...sums[1]]).toEqual([...sums[0]]);
  }
  arrayKernels().update(it, expected[0] as Float32Array, grad, expected.slice(1), uniforms);
  heap.kernels.update(it, vectors[0] as Vector, gradient, vectors.slice(1), uniforms);
  for (const [index, vector] of vectors.entries()) {
    expectSameBits(heap.read(vector), expected[index] as Float32Array);
  }
  expectSameBits(heap.read(gradient), grad);
}

/** Equal bits, but for NaN, whose payload neither JavaScript nor WebAssembly fixes. */
export function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  const differing = expected.findIndex((value, index) => !Object.is(actual[index], value));
  if (differing >= 0) {
    expect.fail(
      `element ${differing} of ${expected.length}: expected ${expected[differing]}, got ${actual[differing]}`,
    );
  }
}
