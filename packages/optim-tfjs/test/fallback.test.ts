import { createOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { afterEach, describe, expect, test, vi } from "vitest";
import { heapStorage } from "../src/in-place/heap.ts";
import { linearLoss, use } from "./backends.ts";

const undo: (() => void)[] = [];
afterEach(() => {
  for (const restore of undo.splice(0)) restore();
  vi.unstubAllGlobals();
});

/** Puts a value in the place of a property for the rest of the test. */
function replace(host: object, name: string, value: unknown): void {
  const before = Object.getOwnPropertyDescriptor(host, name);
  Object.defineProperty(host, name, { value, configurable: true, writable: true });
  undo.push(() => {
    if (before === undefined) Reflect.deleteProperty(host, name);
    else Object.defineProperty(host, name, before);
  });
}

/** Three steps of Adam: the first moves by lr × sign(gradient), and the others nearly so. */
async function train(): Promise<{ readonly inPlace: boolean; readonly w: Float32Array }> {
  const w = tf.variable(tf.tensor1d([1, 2, 3]));
  const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), { w }), {
    lossScale: "dynamic",
    clipGrad: { maxNorm: 10 },
  });
  const { inPlace } = wrapper.optimizer.capabilities;
  for (let step = 0; step < 3; step += 1) wrapper.updateParams(linearLoss({ w }, { w: [1, -2, 0.5] }));
  const { w: trained } = await wrapper.optimizer.readParameters();
  wrapper.dispose();
  w.dispose();
  return { inPlace, w: trained! };
}

interface Parts {
  readonly wasm: { readonly asm: object };
}

describe("where private parts of a backend differ, the rule runs by ops", () => {
  const cases: readonly (readonly [name: string, backend: string, hide: (parts: Parts) => void])[] = [
    [
      "the memory of tfjs-wasm is not exported",
      "wasm",
      ({ wasm }) => replace(wasm, "asm", { ...wasm.asm, memory: undefined }),
    ],
    [
      "its memory is another one",
      "wasm",
      ({ wasm }) => replace(wasm, "asm", { ...wasm.asm, memory: new WebAssembly.Memory({ initial: 1 }) }),
    ],
    ["its reference counts are gone", "wasm", (parts) => replace(parts, "refCount", undefined)],
    ["reference counts of tfjs-cpu are gone", "cpu", (parts) => replace(parts, "refCount", undefined)],
  ];
  test.each(cases)("%s", async (_, backend, hide) => {
    await use({ backend });
    const expected = await train();
    expect(expected.inPlace).toBe(true);
    hide(tf.backend() as unknown as Parts);
    const found = await train();
    expect(found.inPlace).toBe(false);
    for (const [index, value] of expected.w.entries()) expect(found.w[index]).toBeCloseTo(value, 6);
  });
});

test("where WebAssembly may not be compiled, tfjs-cpu runs the reference evaluation: the same bits, in place", async () => {
  await use({ backend: "cpu" });
  const expected = await train();
  vi.stubGlobal("WebAssembly", undefined);
  const found = await train();
  expect(found).toEqual(expected);
  expect(found.inPlace).toBe(true);
});

test("the threaded build of tfjs-wasm imports its memory, which is shared, and exports none", async () => {
  await use({ backend: "cpu" });
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 4, shared: true });
  // Stands in for the backend of a browser: it puts each tensor that is looked up into the shared memory.
  const addresses = new Map<object, number>();
  const backend = {
    wasm: { asm: {}, wasmMemory: memory, tfjs: { registerTensor() {}, disposeData() {} } },
    dataIdMap: {
      get(dataId: object) {
        const known = addresses.get(dataId);
        const memoryOffset = known ?? 64 + 64 * addresses.size;
        if (known === undefined) {
          addresses.set(dataId, memoryOffset);
          const values = tf.backend().readSync(dataId) as Float32Array;
          new Float32Array(memory.buffer, memoryOffset, values.length).set(values);
        }
        return { id: addresses.size, memoryOffset };
      },
    },
    refCount: () => 1,
  };
  const storage = heapStorage(backend)!;
  const accumulator = storage.allocate(3, 2);
  storage.accumulate(accumulator, tf.tensor1d([1, 2, 3]), 0.5, false);
  expect([...storage.view(accumulator)]).toEqual([2.5, 3, 3.5]);
  expect(storage.view(accumulator).buffer).toBeInstanceOf(SharedArrayBuffer);
});

test("a variable whose data another backend took over comes back", async () => {
  await use({ backend: "wasm" });
  const w = tf.variable(tf.tensor1d([1, 2, 3]));
  const wrapper = createOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), { w }));
  const loss = linearLoss({ w }, { w: [1, 1, 1] });
  wrapper.updateParams(loss);
  await use({ backend: "cpu" });
  // Reads the variable, which moves its data to tfjs-cpu; the gradient is made there.
  wrapper.updateParams(loss);
  await use({ backend: "wasm" });
  wrapper.updateParams(loss);
  for (const [index, value] of [0.7, 1.7, 2.7].entries()) expect(w.dataSync()[index]).toBeCloseTo(value, 5);
  wrapper.dispose();
});
