import { createOptimWrapper } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { createArena, wasmOptimizer, type WasmParameters } from "@mm/optim-wasm";
import { describe, expect, test, vi } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

describe("a step", () => {
  test("of SGD, by hand: 1 − 0.5 · 4 = −1 and 2 − 0.5 · −8 = 6, in the caller's array", () => {
    const w = Float32Array.of(1, 2);
    const optimizer = wasmOptimizer(sgd({ lr: 0.5 }), { w });
    optimizer.backward(({ grad, scale }) => {
      grad("w").set([4 * scale, -8 * scale]);
      return 3;
    });
    optimizer.step();
    expect([...w]).toEqual([-1, 6]);
  });

  test("of Adam, by hand: the first step moves by lr against the sign", () => {
    // m̂ = g and v̂ = g², so θ − lr · g / (|g| + ε) with ε 1e-8 far below |g|: ±0.125 to within a float32 rounding.
    const w = Float32Array.of(1, 2, -3, 0, 5);
    const optimizer = wasmOptimizer(adam({ lr: 0.125 }), { w });
    optimizer.backward(({ grad }) => {
      grad("w").set([4, -8, 2, -16, 0]);
      return 0;
    });
    optimizer.step();
    const expected = [0.875, 2.125, -3.125, 0.125, 5];
    for (const [index, value] of w.entries()) expect(value).toBeCloseTo(expected[index] as number, 6);
  });

  test("takes the gradients of a window together: 0 − 1 · (1·2 + 3·2 + 5·2) / 3 = −6", () => {
    const w = Float32Array.of(0);
    const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w }), { accumulativeCounts: 3 });
    for (const x of [1, 3, 5]) {
      optim.updateParams(({ grad, scale }) => {
        const g = grad("w");
        expect([...g]).toEqual([0]);
        g[0] = 2 * x * scale;
        return 0;
      });
    }
    // 2/3 + 6/3 + 10/3 in float32
    const { fround } = Math;
    expect(w[0]).toBe(-fround(fround(fround(2 / 3) + 2) + fround(10 / 3)));
  });

  test("leaves a parameter alone that the closure did not ask for, and its step count", async () => {
    const [w, b] = [Float32Array.of(1), Float32Array.of(1)];
    const optimizer = wasmOptimizer(adam(), { w, b });
    optimizer.backward(({ grad }) => (grad("w")[0] = 1));
    optimizer.step();
    const { params } = await optimizer.stateDict();
    expect(b[0]).toBe(1);
    expect(params.map(({ name, step }) => [name, step])).toEqual([
      ["w", 1],
      ["b", 0],
    ]);
  });

  test("of parameters of all sizes equals the same step of each by itself", () => {
    const lengths = [0, 1, 3, 4, 5, 16, 17, 1000, 100_000];
    const make = (length: number): Float32Array =>
      Float32Array.from({ length }, (_, i) => Math.sin(i + length));
    const together = Object.fromEntries(lengths.map((length) => [`w${length}`, make(length)]));
    const optimizer = wasmOptimizer(adam(), together);
    const train = (to: (name: string) => Float32Array, names: readonly string[]): number => {
      for (const name of names) to(name).forEach((_, i, g) => (g[i] = Math.cos(i)));
      return 0;
    };
    optimizer.backward(({ grad }) => train(grad, Object.keys(together)));
    optimizer.step();
    for (const length of lengths) {
      const w = make(length);
      const alone = wasmOptimizer(adam(), { w });
      alone.backward(({ grad }) => train(() => grad("w"), ["w"]));
      alone.step();
      expect(together[`w${length}`]).toEqual(w);
    }
  });

  test("works on views and shared memory", () => {
    const all = new Float32Array(new SharedArrayBuffer(24)).fill(1);
    const [left, right] = [all.subarray(0, 2), all.subarray(3)];
    const optimizer = wasmOptimizer(sgd({ lr: 1 }), { left, right });
    optimizer.backward(({ grad }) => {
      grad("left").set([1, 2]);
      grad("right").set([3, 4, 5]);
      return 0;
    });
    optimizer.step();
    expect([...all]).toEqual([0, -1, 1, -2, -3, -4]);
  });

  test("of momentum that is switched on in mid-training: its buffer starts at the next gradient", () => {
    const w = Float32Array.of(0);
    const optimizer = wasmOptimizer(sgd({ lr: 1 }), { w });
    const step = (): void => {
      optimizer.zeroGrad();
      optimizer.backward(({ grad }) => (grad("w")[0] = 1));
      optimizer.step();
    };
    step(); // −1
    optimizer.paramGroups[0].momentum = 0.5;
    step(); // buffer 1: −2
    step(); // buffer 0.5 · 1 + 1 = 1.5: −3.5
    expect(w[0]).toBe(-3.5);
    optimizer.paramGroups[0].momentum = 0;
    step(); // −4.5
    expect(w[0]).toBe(-4.5);
  });
});

describe("a loss closure", () => {
  test("gets zeros, the same array each time, and the scale of window and loss scaler: 65,536 / 4", () => {
    const w = new Float32Array(5);
    const optim = createOptimWrapper(wasmOptimizer(sgd(), { w }), {
      accumulativeCounts: 4,
      lossScale: 65_536,
    });
    optim.updateParams(({ grad, scale }) => {
      expect(scale).toBe(16_384);
      expect(grad("w")).toBe(grad("w"));
      expect([...grad("w")]).toEqual([0, 0, 0, 0, 0]);
      grad("w").fill(7);
      return 1;
    });
    for (let count = 0; count < 9; count += 1) {
      optim.updateParams(({ grad }) => {
        expect([...grad("w")]).toEqual([0, 0, 0, 0, 0]);
        grad("w").fill(7);
        return 1;
      });
    }
  });

  test("may ask for large gradients one after the other: none is detached by the room for the next", () => {
    const parameters = Object.fromEntries([1, 2, 3, 4].map((n) => [`w${n}`, new Float32Array(300_000 * n)]));
    const optimizer = wasmOptimizer(sgd({ lr: 1 }), parameters);
    for (let call = 0; call < 3; call += 1) {
      optimizer.backward(({ grad }) => {
        const gradients = Object.keys(parameters).map((name) => grad(name));
        for (const [index, gradient] of gradients.entries()) {
          expect(gradient.length).toBe(300_000 * (index + 1));
          gradient.fill(index + 1);
        }
        return 0;
      });
    }
    optimizer.step();
    // Three backward calls: 0 − 3n everywhere.
    for (const [index, w] of Object.values(parameters).entries()) {
      expect(w.every((value) => value === -3 * (index + 1))).toBe(true);
    }
  });

  test("that throws changes nothing, neither what is pending nor the parameters", async () => {
    const [w, b] = [Float32Array.of(1, 1), Float32Array.of(1)];
    const optimizer = wasmOptimizer(sgd({ lr: 1 }), { w, b });
    const failing = (): void =>
      void optimizer.backward(({ grad }) => {
        grad("w").fill(100);
        grad("b").fill(100);
        throw new RangeError("no more data");
      });
    expect(failing).toThrow(RangeError);
    expect(await optimizer.readGradients()).toEqual({});
    optimizer.backward(({ grad }) => {
      grad("w").set([0.5, 0.25]);
      return 0;
    });
    expect(failing).toThrow(RangeError);
    expect(await optimizer.readGradients()).toEqual({ w: Float32Array.of(0.5, 0.25) });
    optimizer.step();
    expect([...w, ...b]).toEqual([0.5, 0.75, 1]);
    optimizer.zeroGrad();
    expect(failing).toThrow(RangeError);
    expect(await optimizer.readGradients()).toEqual({});
  });

  test.each([undefined, null, "0.5", { loss: 1 }, Promise.resolve(1), 1n])(
    "that returns %o is refused, and nothing changed",
    async (value) => {
      const w = Float32Array.of(1);
      const optimizer = wasmOptimizer(sgd({ lr: 1 }), { w });
      const error = thrownBy(() =>
        optimizer.backward(({ grad }) => {
          grad("w")[0] = 1;
          return value as unknown as number;
        }),
      );
      expect(error.code).toBe("invalid-loss");
      expect(await optimizer.readGradients()).toEqual({});
    },
  );

  test("that is asynchronous cannot take a gradient later", async () => {
    const optimizer = wasmOptimizer(sgd(), { w: new Float32Array(1) });
    let late: Promise<unknown> | undefined;
    const loss = ({ grad }: { readonly grad: (name: "w") => Float32Array }): number => {
      late = Promise.resolve().then(() => grad("w"));
      return late as unknown as number;
    };
    expect(thrownBy(() => optimizer.backward(loss)).code).toBe("invalid-loss");
    await expect(late).rejects.toMatchObject({ code: "invalid-loss" });
  });

  test("that asks for a name that is no parameter is told so", () => {
    const optimizer = wasmOptimizer(sgd(), { w: new Float32Array(1), b: new Float32Array(1) });
    const error = thrownBy(() => optimizer.backward(({ grad }) => grad("v" as "w").length));
    expect(error.code).toBe("unknown-parameter");
    expect(error.message).toBe('backward: grad: expected one of w, b, got "v"');
  });

  test("returns its own value, not scaled, when asked", () => {
    const optimizer = wasmOptimizer(sgd(), { w: new Float32Array(1) });
    const loss = ({ grad }: { grad(name: "w"): Float32Array }): number => {
      grad("w").fill(1);
      return 3.25;
    };
    expect(optimizer.backward(loss, { scale: 8, returnLoss: true })).toBe(3.25);
    expect(optimizer.backward(loss, { scale: 8 })).toBeUndefined();
  });

  test("may write the gradient of a frozen parameter, which is dropped", async () => {
    const [w, b] = [Float32Array.of(1, 1), Float32Array.of(1)];
    const optimizer = wasmOptimizer(sgd({ lr: 1 }), { w, b });
    optimizer.freeze(["w"]);
    optimizer.backward(({ grad }) => {
      expect([...grad("w")]).toEqual([0, 0]);
      grad("w").fill(9);
      return (grad("b")[0] = 0.5);
    });
    expect(await optimizer.readGradients()).toEqual({ b: Float32Array.of(0.5) });
    optimizer.step();
    expect([...w, ...b]).toEqual([1, 1, 0.5]);
  });
});

describe("parameters that are refused", () => {
  const w = new Float32Array(3);
  const detached = new Float32Array(3);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });

  test.each([
    ["a number[]", [1, 2, 3]],
    ["float64", new Float64Array(3)],
    ["nothing", undefined],
    ["a detached array", detached],
  ])("%s", (_, value) => {
    const error = thrownBy(() => wasmOptimizer(sgd(), { w, bad: value as Float32Array }));
    expect(error.code).toBe("invalid-parameter");
    expect(error.message).toContain('"bad"');
  });

  test.each([
    ["the same array", w],
    ["another view of the same elements", new Float32Array(w.buffer, 0, 3)],
  ])("%s twice", (_, again) => {
    const error = thrownBy(() => wasmOptimizer(sgd(), [{ params: { w } }, { params: { again } }]));
    expect(error.code).toBe("duplicate-parameter");
    expect(error.message).toContain('"w"');
    expect(error.message).toContain('"again"');
  });

  test("none at all, and none in a group", () => {
    expect(thrownBy(() => wasmOptimizer(sgd(), {})).code).toBe("empty-parameters");
    expect(thrownBy(() => wasmOptimizer(sgd(), [])).code).toBe("empty-parameters");
    expect(thrownBy(() => wasmOptimizer(sgd(), [{ params: {} }])).code).toBe("empty-parameters");
    expect(thrownBy(() => wasmOptimizer(sgd(), undefined as unknown as {})).code).toBe("invalid-parameter");
    expect(thrownBy(() => wasmOptimizer(sgd(), [null] as unknown as [])).code).toBe("invalid-parameter");
  });

  test("by a rule that is none", () => {
    const rule = undefined as unknown as ReturnType<typeof sgd>;
    expect(thrownBy(() => wasmOptimizer(rule, { w })).code).toBe("invalid-rule");
    expect(thrownBy(() => wasmOptimizer(rule, createArena({ w: 3 }))).code).toBe("invalid-rule");
  });

  test("later: one that lost its memory stops the step before anything changed", async () => {
    const [a, b] = [Float32Array.of(1, 1), Float32Array.of(1, 1)];
    const optimizer = wasmOptimizer(adam({ lr: 1 }), { a, b });
    optimizer.backward(({ grad }) => {
      grad("a").fill(1);
      grad("b").fill(1);
      return 0;
    });
    const before = await optimizer.stateDict();
    structuredClone(b.buffer, { transfer: [b.buffer] });
    const error = thrownBy(() => optimizer.step());
    expect(error.code).toBe("invalid-parameter");
    expect(error.message).toContain('"b"');
    expect([...a]).toEqual([1, 1]);
    const after = await optimizer.stateDict();
    expect(after.params.map(({ step }) => step)).toEqual([0, 0]);
    expect(after.params.map(({ gradient }) => gradient)).toEqual(
      before.params.map(({ gradient }) => gradient),
    );
    await expect(optimizer.readParameters()).rejects.toMatchObject({ code: "invalid-parameter" });
  });
});

describe("groups", () => {
  test("have hyperparameters of their own, and more can be added", () => {
    const [w, b, c] = [Float32Array.of(0), Float32Array.of(0), Float32Array.of(0)];
    const optimizer = wasmOptimizer(sgd({ lr: 1 }), [
      { params: { w } },
      { name: "biases", params: { b }, lr: 0.5 },
    ]);
    optimizer.addParamGroup({ name: "late", params: { c }, lr: 0.25 });
    optimizer.backward(({ grad }) => {
      for (const name of ["w", "b", "c"]) grad(name as "w").fill(1);
      return 0;
    });
    optimizer.step();
    expect([...w, ...b, ...c]).toEqual([-1, -0.5, -0.25]);
    expect(thrownBy(() => optimizer.addParamGroup({ params: { again: c } })).code).toBe(
      "duplicate-parameter",
    );
    expect(thrownBy(() => optimizer.addParamGroup({ params: { no: [1] } })).code).toBe("invalid-parameter");
  });
});

test("capabilities say that it is compiled, and copies the caller's arrays but not an arena's", () => {
  const { capabilities } = wasmOptimizer(sgd(), { w: new Float32Array(1) });
  expect(capabilities).toMatchObject({ decides: "host", inPlace: true, compiled: true, copies: true });
  expect(wasmOptimizer(sgd(), createArena({ w: 1 })).capabilities).toMatchObject({
    inPlace: true,
    compiled: true,
    copies: false,
  });
});

describe("state", () => {
  const train = (optim: ReturnType<typeof make>["optim"], steps: number, from: number): void => {
    for (let step = from; step < from + steps; step += 1) {
      optim.updateParams(({ grad, scale }) => {
        grad("w").forEach((_, i, g) => (g[i] = Math.sin(step + i) * scale));
        return 0;
      });
    }
  };
  const make = (w: Float32Array) => ({
    w,
    optim: createOptimWrapper(wasmOptimizer(adam({ lr: 0.01, amsgrad: true }), { w }), {
      accumulativeCounts: 2,
    }),
  });

  test("saved in mid-window and loaded into a new optimizer gives the very numbers of one that went on", async () => {
    const through = make(Float32Array.from({ length: 37 }, (_, i) => Math.cos(i)));
    train(through.optim, 7, 0);
    const saved = await through.optim.stateDict();
    const resumed = make(through.w.slice());
    train(through.optim, 6, 7);
    await resumed.optim.loadStateDict(saved);
    train(resumed.optim, 6, 7);
    expect(resumed.w).toEqual(through.w);
    expect(await resumed.optim.stateDict()).toEqual(await through.optim.stateDict());
  });
});

describe("arrays that share elements", () => {
  const all = new Float32Array(8);
  const [left, right, middle] = [all.subarray(0, 4), all.subarray(4, 8), all.subarray(3, 5)];

  test("are refused, whatever their order, in one group or in several", () => {
    const inputs: readonly WasmParameters[] = [
      { left, middle },
      { middle, left },
      { right, all },
      { all, middle, right },
    ];
    for (const params of inputs) {
      expect(thrownBy(() => wasmOptimizer(sgd(), params)).code).toBe("duplicate-parameter");
    }
    const grouped = [{ params: { left } }, { params: { middle } }];
    const error = thrownBy(() => wasmOptimizer(sgd(), grouped));
    expect(error.code).toBe("duplicate-parameter");
    expect(error.message).toMatch(/"middle".*"left"/);
  });

  test("are refused in a group that is added, which changes nothing", () => {
    const optimizer = wasmOptimizer(sgd(), { left });
    expect(thrownBy(() => optimizer.addParamGroup({ params: { middle } })).code).toBe("duplicate-parameter");
    expect(optimizer.parameters.map(({ name }) => name)).toEqual(["left"]);
    optimizer.addParamGroup({ params: { right } });
    expect(thrownBy(() => optimizer.addParamGroup({ params: { middle } })).message).toContain('"left"');
  });

  test("of one memory under two SharedArrayBuffers are refused, and hold what they held", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 3, shared: true });
    const before = memory.buffer;
    memory.grow(1);
    const after = memory.buffer;
    expect(before).not.toBe(after);
    const a = new Float32Array(before, 64, 8).fill(1.5);
    for (const [offset, length] of [
      [64, 8],
      [64, 2],
      [92, 100],
      [0, 17],
    ] as const) {
      const b = new Float32Array(after, offset, length);
      for (const params of [
        { a, b },
        { b, a },
      ]) {
        const error = thrownBy(() => wasmOptimizer(sgd(), params));
        expect([error.code, [...a]]).toEqual(["duplicate-parameter", Array(8).fill(1.5)]);
      }
    }
    // Beside each other in one memory; and at one place of two memories that hold the same.
    expect(() => wasmOptimizer(sgd(), { a, b: new Float32Array(after, 96, 8) })).not.toThrow();
    const copy = new SharedArrayBuffer(before.byteLength);
    new Uint8Array(copy).set(new Uint8Array(before));
    expect(() => wasmOptimizer(sgd(), { a, b: new Float32Array(copy, 64, 8) })).not.toThrow();
    expect([...a]).toEqual(Array(8).fill(1.5));
  });

  test("views that touch are two parameters, and so are views without elements", () => {
    const none = all.subarray(4, 4);
    expect(() => wasmOptimizer(sgd(), { right, none, left })).not.toThrow();
  });
});

test("a closure that goes on later is refused, and its rejection is taken care of", async () => {
  const optimizer = wasmOptimizer(sgd(), { w: new Float32Array(1) });
  const unhandled = vi.fn<(reason: unknown) => void>();
  process.prependOnceListener("unhandledRejection", unhandled);
  const loss = (async ({ grad }: { grad(name: "w"): Float32Array }) => {
    await Promise.resolve();
    return (grad("w")[0] = 1);
  }) as unknown as () => number;
  expect(thrownBy(() => optimizer.backward(loss)).code).toBe("invalid-loss");
  // Node tells of a rejection before timers run.
  await new Promise((resolve) => setTimeout(resolve, 0));
  process.off("unhandledRejection", unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

test("writing to one parameter without memory writes none", async () => {
  const [kept, moved] = [Float32Array.of(1), Float32Array.of(2)];
  const optimizer = wasmOptimizer(sgd(), { kept, moved });
  structuredClone(moved.buffer, { transfer: [moved.buffer] });
  const write = () => optimizer.writeParameters({ kept: Float32Array.of(5), moved: Float32Array.of(5) });
  expect(thrownBy(write).code).toBe("invalid-parameter");
  expect(kept[0]).toBe(1);
  await expect(optimizer.readParameters()).rejects.toMatchObject({ code: "invalid-parameter" });
});

test("memory that cannot grow leaves what was allocated alone", () => {
  const a = Float32Array.of(10);
  const optimizer = wasmOptimizer(sgd({ lr: 1, momentum: 0.5 }), { a });
  const grow = vi.spyOn(WebAssembly.Memory.prototype, "grow").mockImplementation(() => {
    throw new RangeError("no memory");
  });
  const add = () => optimizer.addParamGroup({ params: { b: new Float32Array(2 ** 22) } });
  expect(thrownBy(add).code).toBe("unsupported");
  grow.mockRestore();
  expect(optimizer.parameters.map(({ name }) => name)).toEqual(["a"]);
  const loss = ({ grad }: { grad(name: "a"): Float32Array }) => (grad("a")[0] = 1);
  for (const expected of [9, 7.5]) {
    // Momentum: 1, then 0.5 × 1 + 1.
    optimizer.zeroGrad();
    optimizer.backward(loss);
    optimizer.step();
    expect(a[0]).toBe(expected);
  }
});

test.each([
  ["the caller's arrays", () => ({ a: new Float32Array(3), b: new Float32Array(2), c: new Float32Array(1) })],
  ["an arena", () => createArena({ a: 3, b: 2, c: 1 })],
])("gradients of %s are read without waiting, loss scale included", async (_, parameters) => {
  const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), parameters()), {
    accumulativeCounts: 2,
    lossScale: 4,
  });
  const { readGradientsSync = () => ({}) } = optim.optimizer;
  expect(readGradientsSync()).toEqual({});
  optim.updateParams(({ grad, scale }) => {
    grad("b").set([1 * scale, 2 * scale]);
    grad("a").fill(3 * scale);
    return 0;
  });
  const read = readGradientsSync();
  // A gradient × 4 ÷ 2; nothing reached c.
  expect(read).toEqual({ a: Float32Array.of(6, 6, 6), b: Float32Array.of(2, 4) });
  // Memory that grows later takes nothing away.
  wasmOptimizer(sgd({ momentum: 0.9 }), { large: new Float32Array(2 ** 20) });
  expect(read).toEqual(await optim.optimizer.readGradients());
});
