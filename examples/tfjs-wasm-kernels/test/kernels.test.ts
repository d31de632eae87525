import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-layers"; // registers the gradients
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, it } from "vitest";
import { repairWasmKernels } from "../src/index.ts";

beforeAll(async () => {
  tf.enableProdMode();
  repairWasmKernels();
  await tf.setBackend("wasm");
  await tf.ready();
});

/** Multiples of 1/8 below 4: sums of a hundred products of two of them are exact in float32, in whatever order. */
const filled = (shape: readonly number[], seed: number): tf.Tensor =>
  tf.tensor(
    Float32Array.from(
      { length: tf.util.sizeFromShape([...shape]) },
      (_, at) => (((at * 37 + seed) % 61) - 30) / 8,
    ),
    [...shape],
  );

/** The results of a computation on tfjs-cpu and on tfjs-wasm. */
async function onBoth(
  compute: () => tf.Tensor,
): Promise<{ readonly cpu: readonly number[]; readonly wasm: readonly number[] }> {
  const values: number[][] = [];
  for (const backend of ["cpu", "wasm"]) {
    await tf.setBackend(backend);
    const result = tf.tidy(compute);
    values.push([...result.shape, ...(await result.data())]);
    result.dispose();
  }
  const [cpu = [], wasm = []] = values;
  return { cpu, wasm };
}

describe("transpose", () => {
  it.each<[string, number[], number[]]>([
    ["a matrix", [24, 40], [1, 0]],
    ["a matrix of less than a strip", [5, 3], [1, 0]],
    ["sides that are no multiples of strips", [19, 21], [1, 0]],
    ["heads of an attention", [2, 6, 3, 4], [0, 2, 1, 3]],
    ["heads, turned round", [2, 6, 3, 4], [0, 2, 3, 1]],
    ["heads, back", [2, 3, 4, 6], [0, 3, 1, 2]],
    ["all four axes", [2, 3, 4, 5], [3, 2, 1, 0]],
    ["axes that stay together", [2, 3, 4, 5, 6], [2, 3, 4, 0, 1]],
    ["five axes apart, which tfjs does", [2, 3, 2, 3, 2], [4, 3, 2, 1, 0]],
    ["axes of one", [1, 7, 1, 9], [2, 3, 0, 1]],
    ["nothing to move", [3, 4], [0, 1]],
  ])("%s", async (_, shape, perm) => {
    const { cpu, wasm } = await onBoth(() => tf.transpose(filled(shape, 1), perm));
    expect(wasm).toEqual(cpu);
  });

  it("of whole numbers is tfjs's own", async () => {
    const { cpu, wasm } = await onBoth(() => tf.transpose(tf.cast(filled([4, 5], 1), "int32")));
    expect(wasm).toEqual(cpu);
  });
});

describe("slice", () => {
  it.each<[string, number[], number[], number[]]>([
    ["rows", [9, 5], [3, 0], [4, 5]],
    ["to the end", [9, 5], [7, 0], [-1, -1]],
    ["one matrix of several", [4, 3, 5], [2, 0, 0], [1, 3, 5]],
    ["columns, which do not lie together", [9, 5], [0, 1], [9, 2]],
    ["a part of a vector", [11], [4], [3]],
  ])("%s", async (_, shape, begin, size) => {
    const { cpu, wasm } = await onBoth(() => tf.slice(filled(shape, 2), begin, size));
    expect(wasm).toEqual(cpu);
  });

  it("is a copy: the source's disposal leaves it", async () => {
    await tf.setBackend("wasm");
    const source = filled([4, 2], 0);
    const expected = [...(await source.data())].slice(2, 6);
    const rows = tf.slice(source, [1, 0], [2, 2]);
    source.dispose();
    expect([...(await rows.data())]).toEqual(expected);
    rows.dispose();
  });

  it("past the end is refused, as by tfjs", async () => {
    await tf.setBackend("wasm");
    const source = filled([4, 2], 0);
    expect(() => tf.slice(source, [3, 0], [2, 2])).toThrow(/slice/i);
    source.dispose();
  });
});

describe("matMul", () => {
  const flags: [boolean, boolean][] = [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ];
  const batches: [string, number[]][] = [
    ["one", []],
    ["a batch", [3]],
    ["two axes of batches", [2, 3]],
  ];
  it.each(batches.flatMap(([name, batch]) => flags.map(([a, b]) => [name, a, b, batch] as const)))(
    "%s, transposeA %s, transposeB %s",
    async (_, transposeA, transposeB, batch) => {
      const { cpu, wasm } = await onBoth(() =>
        tf.matMul(
          filled([...batch, ...(transposeA ? [17, 9] : [9, 17])], 3),
          filled([...batch, ...(transposeB ? [11, 17] : [17, 11])], 4),
          transposeA,
          transposeB,
        ),
      );
      expect(wasm).toEqual(cpu);
    },
  );

  it("with a batch that is broadcast is tfjs's own", async () => {
    const { cpu, wasm } = await onBoth(() =>
      tf.matMul(filled([3, 4, 5], 1), filled([1, 6, 5], 2), false, true),
    );
    expect(wasm).toEqual(cpu);
  });

  it("of sizes that do not fit is refused, as by tfjs", async () => {
    await tf.setBackend("wasm");
    tf.tidy(() => {
      expect(() => tf.matMul(filled([2, 3], 1), filled([2, 3], 1))).toThrow("must match");
    });
  });

  it("sees a second factor that was written meanwhile", async () => {
    await tf.setBackend("wasm");
    const variable = tf.variable(filled([3, 4, 5], 1));
    const ones = tf.ones([3, 2, 4]);
    const sum = (): number => tf.tidy(() => tf.sum(tf.matMul(ones, variable)).dataSync()[0] ?? Number.NaN);
    const before = sum();
    tf.tidy(() => variable.assign(tf.mul(variable, 2)));
    expect(sum()).toBe(2 * before);
    tf.dispose([variable, ones]);
  });

  it("has gradients of a dense layer and of a batch", async () => {
    const gradient = (a: number[], b: number[]) => () =>
      tf.concat(
        tf
          .grads((x, y) => tf.sum(tf.square(tf.matMul(x, y))))([filled(a, 5), filled(b, 6)])
          .map((part) => tf.reshape(part, [-1])),
      );
    for (const compute of [gradient([6, 4], [4, 3]), gradient([2, 6, 4], [2, 4, 3])]) {
      const { cpu, wasm } = await onBoth(compute);
      expect(wasm).toEqual(cpu);
    }
  });
});

it("leaves nothing behind, after a second call either", async () => {
  await tf.setBackend("wasm");
  const held = (): readonly number[] => [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  const before = held();
  for (let call = 0; call < 2; call++) {
    tf.tidy(
      () =>
        void tf.matMul(
          filled([2, 5, 4], 1),
          tf.transpose(tf.slice(filled([3, 4, 5], 2), 1), [0, 2, 1]),
          true,
        ),
    );
    expect(held()).toEqual(before);
    repairWasmKernels();
  }
});
