import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam, adamw, sgd } from "@mm/optim-rules";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { collectGarbage } from "../../../test-support/garbage.ts";
import { type Spied, spyOnWebAssembly } from "./spied.ts";

const lengths = { w1: 10_000, b1: 10, w2: 300, b2: 3 };
const names = Object.keys(lengths) as (keyof typeof lengths)[];
const arrays = () => ({
  w1: new Float32Array(10_000),
  b1: new Float32Array(10),
  w2: new Float32Array(300),
  b2: new Float32Array(3),
});
const reductions = ["squares", "sizes", "largest"];

function trained(spied: Spied, options: OptimWrapperOptions, updates: number) {
  const optim = createOptimWrapper(wasmOptimizer(adam(), arrays()), options);
  spied.calls.length = 0;
  for (let count = 0; count < updates; count += 1) {
    optim.updateParams(({ grad, scale }) => {
      for (const name of names) grad(name).fill(scale);
      return 1;
    });
  }
  return {
    updates: spied.count("update"),
    reductions: spied.count(...reductions),
    accumulations: spied.count("add", "replace"),
    others: spied.calls.length - spied.count("update", "add", "replace", ...reductions),
  };
}

describe("kernel calls of one step on 4 parameters", () => {
  test.each<[string, OptimWrapperOptions, number]>([
    ["plain", {}, 0],
    ["clip by value", { clipGrad: { type: "value", clipValue: 1 } }, 0],
    ["clip by norm", { clipGrad: { maxNorm: 1 } }, 4],
    ["clip by 1-norm", { clipGrad: { maxNorm: 1, normType: 1 } }, 4],
    ["clip by the largest", { clipGrad: { maxNorm: 1, normType: Infinity } }, 4],
    ["measured", { gradNorm: true }, 4],
    ["dynamic loss scale", { lossScale: "dynamic" }, 4],
    ["dynamic loss scale and clip by norm", { lossScale: "dynamic", clipGrad: { maxNorm: 1 } }, 4],
    ["skip", { onNonFinite: "skip" }, 4],
    ["zero", { onNonFinite: "zero" }, 0],
  ])("%s: one update each, and one reduction each when something is measured", (_, options, expected) => {
    const spied = spyOnWebAssembly();
    expect(trained(spied, options, 1)).toEqual({
      updates: 4,
      reductions: expected,
      accumulations: 0,
      others: 0,
    });
  });

  test("in a window of 3 the second and third backward add, with one call each", () => {
    const spied = spyOnWebAssembly();
    expect(trained(spied, { accumulativeCounts: 3 }, 6)).toEqual({
      updates: 2 * 4,
      reductions: 0,
      accumulations: 2 * 2 * 4,
      others: 0,
    });
  });
});

describe("compilation", () => {
  test("once per rule structure, whatever the number of optimizers, parameters and steps", () => {
    const spied = spyOnWebAssembly();
    const make = () => wasmOptimizer(sgd({ lr: 1 }), arrays());
    const step = (optimizer: ReturnType<typeof make>): void => {
      optimizer.backward(({ grad }) => grad("w1").length);
      optimizer.step();
    };
    const [first, second] = [make(), make()];
    for (let count = 0; count < 10; count += 1) step(first);
    // The general kernels, and SGD.
    expect(spied.modules).toBe(2);
    step(second);
    first.paramGroups[0].lr = 0.5;
    step(first);
    step(make());
    expect(spied.modules).toBe(2);
    first.paramGroups[0].momentum = 0.9;
    step(first);
    expect(spied.modules).toBe(3);
    first.paramGroups[0].momentum = 0.5;
    step(first);
    second.paramGroups[0].momentum = 0.1;
    step(second);
    first.paramGroups[0].momentum = 0;
    step(first);
    expect(spied.modules).toBe(3);
  });

  test("modules stay below 4 KiB, what browsers compile at once on their main thread", () => {
    const sizes: number[] = [];
    const spied = spyOnWebAssembly();
    const { Module } = globalThis.WebAssembly;
    Object.defineProperty(globalThis.WebAssembly, "Module", {
      value: class extends Module {
        constructor(bytes: BufferSource) {
          super(bytes);
          sizes.push(bytes.byteLength);
        }
      },
    });
    trained(spied, {}, 1);
    const rule = adamw({ amsgrad: true, maximize: true, weightDecay: 0.1 });
    const optim = createOptimWrapper(wasmOptimizer(rule, arrays()), {
      onNonFinite: "zero",
      clipGrad: { type: "value", clipValue: 1 },
    });
    optim.updateParams(({ grad }) => grad("w1").length);
    expect(sizes).toHaveLength(3);
    expect(Math.max(...sizes)).toBeLessThan(4096);
  });
});

describe("memory", () => {
  test.each<[string, OptimWrapperOptions]>([
    ["plain", {}],
    [
      "with a window, clipping and a loss scale",
      { accumulativeCounts: 4, clipGrad: { maxNorm: 1 }, lossScale: "dynamic" },
    ],
  ])(
    "%s: 1,000 updates leave it as it was after the first window, also when closures throw",
    (_, options) => {
      const spied = spyOnWebAssembly();
      const optim = createOptimWrapper(wasmOptimizer(adam(), arrays()), options);
      const update = (fail: boolean): void => {
        optim.updateParams(({ grad, scale }) => {
          for (const name of names) grad(name).fill(scale);
          if (fail) throw new Error("no more data");
          return 1;
        });
      };
      for (let count = 0; count < 8; count += 1) update(false);
      const bytes = spied.memories.map(({ buffer }) => buffer.byteLength);
      let thrown = 0;
      for (let count = 0; count < 1000; count += 1) {
        try {
          update(count % 4 === 0);
        } catch {
          thrown += 1;
        }
      }
      expect(thrown).toBe(250);
      expect(spied.memories.map(({ buffer }) => buffer.byteLength)).toEqual(bytes);
      expect(spied.memories).toHaveLength(1);
    },
  );

  test("of an arena holds everything: no other is made", () => {
    const spied = spyOnWebAssembly();
    const optim = createOptimWrapper(wasmOptimizer(adam(), createArena(lengths, { slots: 2 })), {
      accumulativeCounts: 2,
    });
    for (let count = 0; count < 100; count += 1) {
      optim.updateParams(({ grad }) => {
        for (const name of names) grad(name).fill(1);
        return 1;
      });
    }
    expect(spied.memories).toHaveLength(1);
  });

  test("is let go of by dispose, though the optimizer is still held", async () => {
    const memories: WeakRef<WebAssembly.Memory>[] = [];
    const spied = spyOnWebAssembly();
    const optimizer = wasmOptimizer(adam(), arrays());
    optimizer.backward(({ grad }) => grad("w1").length);
    optimizer.step();
    memories.push(...spied.memories.splice(0).map((memory) => new WeakRef(memory)));
    const freed = async (): Promise<boolean> => {
      for (let attempt = 0; attempt < 10; attempt += 1) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        collectGarbage();
      }
      return memories.every((memory) => memory.deref() === undefined);
    };
    expect(await freed()).toBe(false);
    optimizer.dispose();
    expect(await freed()).toBe(true);
    expect(() => optimizer.step()).toThrow(expect.objectContaining({ code: "disposed" }));
    optimizer.dispose();
  });
});
