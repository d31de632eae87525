import { type Program, traceRule } from "@mm/optim-core/backend";
import { adam } from "@mm/optim-rules";
import {
  createVectorArrays,
  createVectorMemory,
  kernelsAvailable,
  type Vector,
  wasmKernels,
} from "@mm/optim-wasm/kernel";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../../test-support/refusal.ts";
import { runPasses } from "../../../../test-support/programs.ts";
import { hideWebAssembly, spyOnWebAssembly, withoutWebAssembly } from "../spied.ts";

const rule: Program = traceRule(adam().definition, {}, { clipValue: false, zeroNonFinite: false });

describe("createVectorMemory", () => {
  test("fills vectors, new ones and those that are used again, and keeps them apart", () => {
    const store = createVectorMemory();
    const lengths = [0, 1, 15, 16, 17, 20_000, 300_000];
    for (let round = 0; round < 3; round += 1) {
      const vectors = lengths.map((length, index) => store.allocate(length, index));
      for (const [index, vector] of vectors.entries()) {
        const view = store.view(vector);
        expect(view.length).toBe(lengths[index]);
        expect(view.every((value) => value === index)).toBe(true);
        expect(vector.pointer % 64).toBe(0);
      }
      for (const vector of vectors) {
        store.view(vector).fill(NaN);
        store.release(vector);
      }
    }
  });

  test("takes what was released before it grows", () => {
    const spied = spyOnWebAssembly();
    const store = createVectorMemory();
    const size = (): number => (spied.memories[0] as WebAssembly.Memory).buffer.byteLength;
    let vectors = [store.allocate(500_000, 0), store.allocate(700_000, 0)];
    const before = size();
    for (let round = 0; round < 100; round += 1) {
      for (const vector of vectors) store.release(vector);
      vectors = [store.allocate(700_000, 0), store.allocate(500_000, 0)];
    }
    expect(size()).toBe(before);
    store.allocate(500_000, 0);
    expect(size()).toBeGreaterThan(before);
  });

  test("what was reserved can be allocated without detaching a view, in any order", () => {
    const store = createVectorMemory();
    const lengths = [400_000, 10, 400_000, 90_000];
    store.release(store.allocate(90_000, 0));
    for (let round = 0; round < 3; round += 1) {
      store.reserve(lengths);
      const first = store.view(store.allocate(10, 7));
      for (const length of [400_000, 90_000, 400_000]) store.allocate(length, 0);
      expect([...first]).toEqual(Array(10).fill(7));
    }
  });

  test("grows to gigabytes: vectors beyond 2 GiB have their elements", () => {
    const store = createVectorMemory();
    // Address space only: of the first, no element is touched.
    store.allocate(2 ** 29 + 2 ** 20, 0);
    const [param, grad, mean, square] = [1, 1, 0, 0].map((initial) => store.allocate(21, initial)) as [
      Vector,
      Vector,
      Vector,
      Vector,
    ];
    expect(param.pointer).toBeGreaterThan(2 ** 31);
    const uniforms = new Float32Array(rule.uniforms.length).fill(0.5);
    runPasses(store.kernels, "update", rule, [param, grad, mean, square], uniforms);
    const small = createVectorArrays();
    const reference = [1, 1, 0, 0].map((initial) => small.allocate(21, initial)) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    runPasses(small.kernels, "update", rule, reference, uniforms);
    expect(store.view(param)).toEqual(reference[0]);
    expect(store.view(square)).toEqual(reference[3]);
    expect(store.kernels.reduce(param, { power: 3, scale: 1 })).toBe(
      small.kernels.reduce(reference[0], { power: 3, scale: 1 }),
    );
    store.dispose();
  });

  test("has a limit, and says so where it is reached, before anything changed", () => {
    const store = createVectorMemory();
    const vector = store.allocate(3, 5);
    expect(thrownBy(() => store.allocate(2 ** 30, 0)).code).toBe("unsupported");
    expect(thrownBy(() => store.reserve([2 ** 29, 2 ** 29])).code).toBe("unsupported");
    expect([...store.view(vector)]).toEqual([5, 5, 5]);
    expect([...store.view(store.allocate(1, 6))]).toEqual([6]);
  });
});

describe("small stores", () => {
  const small = () => createVectorMemory(1000);

  test("share one memory, and neither sees the vectors of another", () => {
    const spied = spyOnWebAssembly();
    const stores = [small(), small(), small()];
    expect(spied.memories).toHaveLength(1);
    const vectors = stores.map((store, index) => store.allocate(5, index + 1));
    expect(new Set(vectors.map(({ pointer }) => pointer)).size).toBe(3);
    for (const [index, store] of stores.entries()) {
      expect([...store.view(vectors[index]!)]).toEqual(Array(5).fill(index + 1));
      store.kernels.accumulate(vectors[index]!, vectors[index]!, 1, false);
    }
    for (const [index, store] of stores.entries())
      expect([...store.view(vectors[index]!)]).toEqual(Array(5).fill(2 * (index + 1)));
  });

  test("give their room back, which holds zeros for the next", () => {
    for (let round = 0; round < 1000; round += 1) {
      // 1,000 × 100 kB: far more than there is.
      const store = small();
      const vector = store.allocate(25_000, 0);
      expect(store.view(vector).every((value) => value === 0)).toBe(true);
      store.view(vector).fill(round + 1);
      store.dispose();
    }
  });

  test("move to a memory of their own when they grow: every vector stays at its address with its elements", () => {
    const spied = spyOnWebAssembly();
    const [store, other] = [small(), small()];
    const [mine, theirs] = [store.allocate(7, 1), other.allocate(7, 2)];
    const released = store.allocate(3, 3);
    store.release(released);
    const large = store.allocate(100_000, 4);
    expect(spied.memories).toHaveLength(2);
    expect([...store.view(mine)]).toEqual(Array(7).fill(1));
    expect(store.view(large).every((value) => value === 4)).toBe(true);
    expect(store.allocate(3, 5)).toEqual(released);
    expect(store.view(mine).buffer).toBe(spied.memories[1]?.buffer);
    store.kernels.accumulate(mine, mine, 1, false);
    expect([...store.view(mine), ...other.view(theirs)]).toEqual(Array(14).fill(2));
    expect(store.kernels.reduce(large, { power: 1, scale: 1 })).toBe(400_000);
    // Its place in the memory that is shared is free for another.
    expect(other.view(other.allocate(7, 6))).toEqual(new Float32Array(7).fill(6));
    expect([...store.view(mine)]).toEqual(Array(7).fill(2));
  });

  test("have room that was reserved, there and after they moved", () => {
    const store = small();
    for (const lengths of [
      [100, 10, 100],
      [60_000, 10, 60_000],
    ]) {
      store.reserve(lengths);
      const view = store.view(store.allocate(10, 7));
      for (const length of lengths.filter((length) => length !== 10)) store.allocate(length, 0);
      expect(view.buffer).toBe(store.view(store.allocate(1, 0)).buffer);
      expect([...view]).toEqual(Array(10).fill(7));
    }
  });

  test("take a memory of their own where the shared one is full", () => {
    const spied = spyOnWebAssembly();
    // 80 × 256 KB are more than 16 MiB.
    const stores = Array.from({ length: 80 }, (_, index) => {
      const store = small();
      return [store, store.allocate(2 ** 16, index)] as const;
    });
    expect(spied.memories.length).toBe(1 + 80 - 64);
    for (const [index, [store, vector]] of stores.entries()) {
      expect(store.view(vector)[2 ** 16 - 1]).toBe(index);
      store.dispose();
    }
  });
});

describe("wasmKernels", () => {
  test("work in a memory that grows between calls, and in a shared one", () => {
    const memories = [
      new WebAssembly.Memory({ initial: 1 }),
      new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true }),
    ];
    for (const [index, memory] of memories.entries()) {
      const kernels = wasmKernels(memory, { shared: index === 1 });
      const [a, b] = [
        { pointer: 64, length: 3 },
        { pointer: 128, length: 3 },
      ];
      new Float32Array(memory.buffer, 128, 3).set([1, 2, 3]);
      kernels.accumulate(a, b, 2, true);
      memory.grow(1);
      kernels.accumulate(a, b, 2, false);
      expect([...new Float32Array(memory.buffer, 64, 3)]).toEqual([4, 8, 12]);
      expect(kernels.reduce(a, { power: 1, scale: 1 })).toBe(24);
      // 64 + 512 + 1728
      expect(kernels.reduce(a, { power: 3, scale: 1 })).toBe(2304);
    }
  });

  test("of one memory are made once, and share what they compiled", () => {
    const spied = spyOnWebAssembly();
    const memory = new WebAssembly.Memory({ initial: 1 });
    expect(wasmKernels(memory)).toBe(wasmKernels(memory));
    wasmKernels(new WebAssembly.Memory({ initial: 1 }));
    expect(spied.modules).toBe(1);
  });
});

describe("kernelsAvailable", () => {
  test("here", () => {
    expect(kernelsAvailable()).toBe(true);
  });

  test.each(withoutWebAssembly)("not with %s", (_, replacement) => {
    hideWebAssembly(replacement);
    expect(kernelsAvailable()).toBe(false);
  });
});
