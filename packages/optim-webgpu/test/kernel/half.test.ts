import type { ElementNode } from "@mm/optim-core/backend";
import { beforeAll, describe, expect, test } from "vitest";
import {
  accumulateKernel,
  type IncomingStorage,
  record,
  recordWords,
  updateKernel,
} from "../../src/kernel/index.ts";
import { defaultAdapter, lavapipe, openDevice } from "../support/node.ts";
import { ordinaryArray, randomNumbers } from "../../../../test-support/numbers.ts";
import { program } from "../../../../test-support/programs.ts";
import { placesOf, planeLength, planeOf, Rig, tableOf, vectorsOf } from "./rig.ts";

/** The number that 16 bits stand for (IEEE 754: 1 sign, 5 exponent, 10 fraction). */
function numberOfHalf(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** All finite halves that are not negative, in order. */
const halves = Array.from({ length: 0x7c00 }, (_, bits) => numberOfHalf(bits));

/** The bits of the nearest half, the even one of two. */
function halfOfNumber(x: number): number {
  const sign = Object.is(x, -0) || x < 0 ? 0x8000 : 0;
  const size = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  if (size >= 65_520) return sign | 0x7c00;
  let [low, high] = [0, halves.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (halves[middle]! <= size) low = middle;
    else high = middle - 1;
  }
  const [below, above] = [halves[low]!, halves[low + 1] ?? 65_536];
  const up = size - below > above - size || (size - below === above - size && low % 2 === 1);
  return sign | (low + Number(up));
}

describe.each([defaultAdapter, lavapipe].filter(({ available }) => available))("on $name", (adapter) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = new Rig(await openDevice(adapter));
  });

  /** param ← master − grad, with float16 parameters one after the other; each word of the parameters' buffer. */
  const step = async (masters: readonly Float32Array[], before: Uint16Array): Promise<Uint16Array> => {
    const nodes: ElementNode[] = [{ op: "param" }, { op: "grad" }, { op: "sub", a: 0, b: 1 }];
    const it = program(nodes, { param: 2 });
    const places = placesOf(
      masters.map(({ length }) => length),
      "packed",
    );
    const table = tableOf(places, recordWords(it));
    const param = rig.buffer(before);
    const master = rig.buffer(planeOf(places, masters));
    const grad = rig.buffer(new Float32Array(planeLength(places)));
    rig.run([
      {
        source: updateKernel(it, "packed"),
        bindings: [param, grad, master, rig.buffer(table.words), rig.uniform(table.range)],
        groups: [table.tileCount],
      },
    ]);
    expect(vectorsOf(places, await rig.floats(master))).toEqual(masters);
    return new Uint16Array((await rig.words(param)).buffer);
  };

  test("a parameter is the nearest half of its master weights", async () => {
    const random = randomNumbers(3);
    const values = Float32Array.from(
      [0, -0, NaN, Infinity, -Infinity, 65_504, 65_519.99, 65_520, -65_520, 1e30, 2 ** -24, 2 ** -25]
        // Just above half of the smallest; a tie between two small ones; the border to normal halves.
        .concat([1.0001 * 2 ** -25, 1.5 * 2 ** -24, 2.5 * 2 ** -24, -(2 ** -14), 2 ** -14 - 2 ** -26])
        // Ties of 1 + (2k + 1)/2048: down to even, up to even.
        .concat([1 + 1 / 2048, 1 + 3 / 2048, -1 - 5 / 2048, 2048.5, 2049, 2051])
        .concat(Array.from({ length: 2025 }, () => (random() - 0.5) * 2 ** (40 * random() - 26))),
    );
    const found = await step([values], new Uint16Array(values.length));
    expect([...found]).toEqual(Array.from(values, halfOfNumber));
  });

  test("halves that are not its own stay as they are, odd lengths included", async () => {
    const masters = [1, 2, 3, 5, 64, 4097].map((length) => new Float32Array(length).fill(1.5));
    const places = placesOf(
      masters.map(({ length }) => length),
      "packed",
    );
    const size = 8 + Math.max(...places.map(({ paramStart, length }) => paramStart + length));
    const expected = new Uint16Array(size + (size % 2)).fill(0x1234);
    const before = expected.slice();
    for (const { paramStart, length } of places) expected.fill(0x3e00, paramStart, paramStart + length);
    expect(await step(masters, before)).toEqual(expected);
  });

  /** Accumulators, from incoming gradients as the kernel reads them. */
  const accumulate = async (
    from: IncomingStorage,
    accumulators: readonly Float32Array[],
    incoming: Float32Array | Uint16Array,
    adds: readonly number[],
  ): Promise<readonly Float32Array[]> => {
    const places = placesOf(
      accumulators.map(({ length }) => length),
      "vec4",
    );
    const table = tableOf(places, record.uniforms);
    for (const [index, what] of adds.entries()) table.words[table.records[index]! + record.adds] = what;
    const accumulator = rig.buffer(planeOf(places, accumulators));
    rig.run([
      {
        source: accumulateKernel(from),
        bindings: [accumulator, rig.buffer(incoming), rig.buffer(table.words), rig.uniform(table.range)],
        groups: [table.tileCount],
      },
    ]);
    return vectorsOf(places, await rig.floats(accumulator));
  };

  test("every half is read as its number", async () => {
    const bits = Uint16Array.from({ length: 65_536 }, (_, index) => index);
    const [found] = await accumulate("packed", [new Float32Array(65_536)], bits, [2]);
    expect(found).toEqual(Float32Array.from(bits, numberOfHalf));
  });

  test("gradients are added, overwrite, or are left, each as its record says", async () => {
    const random = randomNumbers(5);
    const lengths = [5, 64, 4097, 1];
    const old = lengths.map((length) => ordinaryArray(random, length));
    const new32 = lengths.map((length) => ordinaryArray(random, length));
    const places = placesOf(lengths, "vec4");
    const [added, left, overwritten, alone] = await accumulate(
      "f32",
      old,
      planeOf(places, new32),
      [1, 0, 2, 1],
    );
    expect(added).toEqual(old[0]!.map((value, i) => value + new32[0]![i]!));
    expect(left).toEqual(old[1]);
    expect(overwritten).toEqual(new32[2]);
    expect(alone).toEqual(Float32Array.of(old[3]![0]! + new32[3]![0]!));
  });
});
