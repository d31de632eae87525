import { createOptimWrapper } from "@mm/optim-core";
import { defineUpdateRule, mul, sub } from "@mm/optim-core/rule";
import { adam, sgd } from "@mm/optim-rules";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { hideWebAssembly, spyOnWebAssembly, withoutWebAssembly } from "./spied.ts";

const cells = (slots: number): number => 1 + 2 + slots;

describe("createArena", () => {
  test("gives zero-filled arrays in one memory, each at a multiple of 256 bytes", () => {
    const spied = spyOnWebAssembly();
    const arena = createArena({ w1: 100, b1: 3, empty: 0, w2: 64 });
    expect(Object.keys(arena)).toEqual(["w1", "b1", "empty", "w2"]);
    expect(Object.values(arena).map(({ length }) => length)).toEqual([100, 3, 0, 64]);
    expect(spied.memories).toHaveLength(1);
    for (const array of Object.values(arena)) {
      expect(array.buffer).toBe(spied.memories[0]?.buffer);
      expect(array.byteOffset % 256).toBe(0);
      expect(array.every((value) => value === 0)).toBe(true);
    }
  });

  test("takes room for slots, accumulators and gradients: 3 + slots times 512 bytes of 100 elements", () => {
    const spied = spyOnWebAssembly();
    createArena({ w: 100 }, { slots: 200 });
    createArena({ w: 100 });
    // In pages of 64 KiB.
    expect(spied.memories.map(({ buffer }) => buffer.byteLength / 65_536)).toEqual([
      Math.ceil((cells(200) * 512) / 65_536),
      1,
    ]);
    expect(() => spied.memories[0]?.grow(1)).toThrow(RangeError);
  });

  test.each([
    [{ w: 1.5 }, "invalid-option"],
    [{ w: -1 }, "invalid-option"],
    [{ w: NaN }, "invalid-option"],
    [{ w: "10" }, "invalid-option"],
    [{ w: 2 ** 30 }, "invalid-option"],
    [{}, "empty-parameters"],
    [null, "invalid-option"],
    [7, "invalid-option"],
  ])("refuses the lengths %o", (lengths, code) => {
    expect(thrownBy(() => createArena(lengths as unknown as { w: number })).code).toBe(code);
  });

  test("refuses options that are none", () => {
    expect(thrownBy(() => createArena({ w: 1 }, { slots: -1 })).code).toBe("invalid-option");
    expect(thrownBy(() => createArena({ w: 1 }, { slot: 1 } as object)).code).toBe("unknown-option");
  });
});

describe("an optimizer on an arena", () => {
  const momentum = (params: { readonly [name: string]: Float32Array }) =>
    wasmOptimizer(sgd({ lr: 1, momentum: 0.5 }), params);
  const step = (optimizer: ReturnType<typeof momentum>, names: readonly string[], value = 1): void => {
    optimizer.zeroGrad();
    optimizer.backward(({ grad }) => {
      for (const name of names) grad(name).fill(value);
      return 0;
    });
    optimizer.step();
  };

  test("gives kernels the address of each array, and allocates no memory", () => {
    const spied = spyOnWebAssembly();
    const arena = createArena({ w: 1000, b: 5 });
    const optimizer = momentum(arena);
    step(optimizer, ["w", "b"]);
    expect(spied.memories).toHaveLength(1);
    const updates = spied.calls.filter(({ name }) => name === "update");
    expect(updates.map(({ args }) => args[0])).toEqual([arena.w.byteOffset, arena.b.byteOffset]);
    expect(new Set([...arena.w, ...arena.b])).toEqual(new Set([-1]));
  });

  test("leaves what lies between the arrays zero", () => {
    const spied = spyOnWebAssembly();
    const arena = createArena({ a: 1, b: 3, c: 63, d: 65, e: 0 }, { slots: 1 });
    const optimizer = momentum(arena);
    for (let count = 0; count < 3; count += 1) step(optimizer, Object.keys(arena));
    // 1.5 and 1.75 in the buffer: −(1 + 1.5 + 1.75) everywhere.
    for (const array of Object.values(arena)) expect(array.every((value) => value === -4.25)).toBe(true);
    const memory = new Float32Array(spied.memories[0]?.buffer as ArrayBuffer);
    // 132 elements, in the parameter, accumulator and slot each; at most one cell more for the gradient of a window.
    const used = memory.reduce((count, value) => count + Number(value !== 0), 0);
    expect(used).toBe(132 * 3);
  });

  test("and another one share it, and neither disturbs the other", () => {
    const arena = createArena({ g: 10, d: 20 }, { slots: 1 });
    const alone = { g: new Float32Array(10), d: new Float32Array(20) };
    const generator = momentum({ g: arena.g });
    const discriminator = momentum({ d: arena.d });
    const reference = momentum(alone);
    for (let count = 1; count < 5; count += 1) {
      step(discriminator, ["d"], count);
      step(generator, ["g"], count);
      step(reference, ["d", "g"], count);
    }
    expect(arena.g).toEqual(alone.g);
    expect(arena.d).toEqual(alone.d);
  });

  test("gives its room back when it is disposed, again and again", () => {
    const arena = createArena({ w: 10 }, { slots: 1 });
    for (let count = 0; count < 20; count += 1) {
      const optimizer = momentum(arena);
      step(optimizer, ["w"]);
      optimizer.backward(({ grad }) => grad("w").length);
      optimizer.dispose();
    }
    expect([...arena.w]).toEqual(Array(10).fill(-20));
  });

  test("a rule with an evaluation point needs room for one vector more, which keeps what was trained", async () => {
    const following = defineUpdateRule({
      name: "Following",
      hyperparameters: { lr: 1 },
      slots: () => ({ x: "param" }),
      update: ({ param, grad, x }, { lr }) => ({ param: sub(param, mul(lr, grad)), x }),
      evaluate: ({ x }) => x,
    });
    const tight = thrownBy(() => wasmOptimizer(following(), createArena({ w: 3 }, { slots: 1 })));
    expect([tight.code, tight.message]).toEqual([
      "arena-full",
      expect.stringMatching(/at most 1 slots .*, got 2\. One of them keeps what was trained/),
    ]);
    const arena = createArena({ w: 3 }, { slots: 2 });
    const wrapper = createOptimWrapper(wasmOptimizer(following(), arena));
    // This optimizer has all that it may need, and another cannot take it away.
    expect(thrownBy(() => wasmOptimizer(sgd(), arena)).code).toBe("arena-full");
    wrapper.updateParams(({ grad }) => (grad("w").fill(2), 0));
    expect(await wrapper.evaluating(() => [...arena.w])).toEqual([0, 0, 0]);
    expect([...arena.w]).toEqual([-2, -2, -2]);
  });

  test("is refused where there is no room for the slots, at construction and when momentum is switched on", () => {
    const arena = createArena({ w: 10 }, { slots: 1 });
    expect(thrownBy(() => wasmOptimizer(adam(), arena)).code).toBe("arena-full");
    const names: { readonly [name: string]: number } = { w: 10 };
    const none = wasmOptimizer(sgd(), createArena(names, { slots: 0 }));
    expect(
      thrownBy(() => {
        none.paramGroups[0].momentum = 0.9;
      }).code,
    ).toBe("arena-full");
    expect(none.paramGroups[0].momentum).toBe(0);
    step(none, ["w"]);
  });

  test("is refused where another one has the room, and not after that one's end", () => {
    // 2 + 3 slots for one Adam (amsgrad may be switched on), and 2 + 1 for a momentum that does not fit: 8 of 2 + 5.
    const arena = createArena({ w: 10, v: 10 }, { slots: 5 });
    const first = wasmOptimizer(adam(), arena);
    expect(thrownBy(() => momentum({ v: arena.v })).code).toBe("arena-full");
    first.dispose();
    step(momentum({ v: arena.v }), ["v"]);
    const roomy = createArena({ w: 10 }, { slots: 6 });
    const both = [wasmOptimizer(adam(), roomy), momentum(roomy)] as const;
    for (const optimizer of both) {
      optimizer.backward(({ grad }) => grad("w").length);
      optimizer.backward(({ grad }) => grad("w").length);
      optimizer.step();
    }
  });

  test("takes whole arrays of one arena only", () => {
    const [arena, other] = [createArena({ w: 10, b: 2 }), createArena({ v: 10 })];
    const whole = new Float32Array(arena.w.buffer, arena.w.byteOffset, 10);
    step(momentum({ whole, b: arena.b }), ["whole"]);
    expect(arena.w[9]).toBe(-1);
    const refused = (params: { readonly [name: string]: Float32Array }): string =>
      thrownBy(() => momentum(params)).code;
    expect(refused({ w: arena.w, v: other.v })).toBe("invalid-parameter");
    expect(refused({ w: arena.w, mine: new Float32Array(2) })).toBe("invalid-parameter");
    expect(refused({ mine: new Float32Array(2), w: arena.w })).toBe("invalid-parameter");
    expect(refused({ part: arena.w.subarray(1) })).toBe("invalid-parameter");
    expect(refused({ part: arena.w.subarray(0, 9) })).toBe("invalid-parameter");
    expect(refused({ w: arena.w, again: arena.w })).toBe("duplicate-parameter");
    const beyond = new Float32Array(arena.w.buffer, arena.w.byteOffset + 256, 10);
    expect(refused({ beyond })).toBe("invalid-parameter");
    expect(
      thrownBy(() => momentum(arena).addParamGroup({ params: { mine: new Float32Array(1) } })).code,
    ).toBe("invalid-parameter");
  });

  test.each(withoutWebAssembly)("with %s runs the reference, in place too", (_, replacement) => {
    const compiled = createArena({ w: 37 }, { slots: 1 });
    const compiledOptimizer = momentum(compiled);
    step(compiledOptimizer, ["w"], 0.1);
    step(compiledOptimizer, ["w"], 0.3);
    hideWebAssembly(replacement);
    const arena = createArena({ w: 37 }, { slots: 1 });
    const optimizer = momentum(arena);
    expect(optimizer.capabilities).toMatchObject({ compiled: false, copies: false });
    const before = arena.w.buffer;
    step(optimizer, ["w"], 0.1);
    step(optimizer, ["w"], 0.3);
    expect(arena.w).toEqual(compiled.w);
    expect(arena.w.buffer).toBe(before);
    expect(thrownBy(() => wasmOptimizer(adam(), arena)).code).toBe("arena-full");
  });
});

test.each([null, 5, "slots"])("%j are no options of an arena", (options) => {
  const create = () => createArena({ w: 1 }, options as unknown as { slots: number });
  expect(thrownBy(create).code).toBe("invalid-option");
});

test("an optimizer that is refused for want of room holds none", () => {
  // Adam takes 4 of 6 cells: accumulator, gradient and two slots.
  const arena = createArena({ a: 4, b: 4 });
  const first = wasmOptimizer(adam({ amsgrad: false }), { b: arena.b });
  const both = () => wasmOptimizer(adam(), { a: arena.a, b: arena.b });
  expect(thrownBy(both).code).toBe("arena-full");
  expect(thrownBy(both).code).toBe("arena-full");
  expect(() => wasmOptimizer(adam(), { a: arena.a })).not.toThrow();
  first.dispose();
});
