import { createOptimWrapper } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { hideWebAssembly, withoutWebAssembly } from "./spied.ts";

// In elements: 3 and its padding to 64, 64, nothing in a cell of 64, and 65 in two cells of 64.
const lengths = { a: 3, b: 64, empty: 0, c: 65 };
const places = { a: [0, 3], b: [64, 128], empty: [128, 128], c: [192, 257] } as const;
const [end, size] = [320, 320 + 1 + 4];
type Name = keyof typeof lengths;
const names = Object.keys(lengths) as Name[];

/** The expected content of the view: the gradients in their places, zeros elsewhere. */
function expected(gradients: { readonly [K in Name]?: number }): Float32Array {
  const all = new Float32Array(size);
  for (const [name, value] of Object.entries(gradients)) all.fill(value, ...places[name as Name]);
  return all;
}

const create = () => wasmOptimizer(adam({ lr: 0.1 }), createArena(lengths));
const backward = (
  optimizer: ReturnType<typeof create>,
  gradients: { readonly [K in Name]?: number },
): void => {
  optimizer.backward(({ grad }) => {
    for (const [name, value] of Object.entries(gradients)) grad(name as Name).fill(value);
    return 0;
  });
};

describe.each([["WebAssembly", undefined] as const, ...withoutWebAssembly.slice(0, 1)])("with %s", (kind) => {
  const prepare = (): void => {
    if (kind !== "WebAssembly") hideWebAssembly(undefined);
  };

  test("all gradients in declared order, padding of zeros, and room for 1 + n numbers", () => {
    prepare();
    const optimizer = create();
    expect(optimizer.gradientView).toEqual(new Float32Array(size));
    backward(optimizer, { c: 3, a: 1, empty: 5, b: 2 });
    expect(optimizer.gradientView).toEqual(expected({ a: 1, b: 2, c: 3 }));
    backward(optimizer, { b: 0.5 });
    expect(optimizer.gradientView).toEqual(expected({ a: 1, b: 2.5, c: 3 }));
  });

  test("the room behind them is the caller's, and stays as it is", () => {
    prepare();
    const optimizer = create();
    const view = optimizer.gradientView!;
    view.set([7, 1, 1, 0, 1], end);
    for (let step = 0; step < 3; step += 1) {
      backward(optimizer, { a: 1, b: 1, c: 1 });
      backward(optimizer, { a: 1, b: 1, c: 1 });
      optimizer.step();
      optimizer.zeroGrad();
    }
    expect([...optimizer.gradientView!.subarray(end)]).toEqual([7, 1, 1, 0, 1]);
  });

  test("one array for ever; a parameter without a gradient reads as zeros, in an array that is held too", () => {
    prepare();
    const optimizer = create();
    const view = optimizer.gradientView!;
    backward(optimizer, { a: 1, b: 2, c: 3 });
    optimizer.step();
    optimizer.zeroGrad();
    backward(optimizer, { b: 4 });
    expect(view).toEqual(expected({ b: 4 }));
    optimizer.step();
    optimizer.zeroGrad();
    expect(optimizer.gradientView).toBe(view);
    expect(view).toEqual(expected({}));
  });

  test("a closure that throws leaves what is pending, and zeros elsewhere", () => {
    prepare();
    const optimizer = create();
    const fail = (): void => {
      optimizer.backward(({ grad }) => {
        for (const name of names) grad(name).fill(9);
        throw new Error("no more data");
      });
    };
    expect(fail).toThrow("no more data");
    expect(optimizer.gradientView).toEqual(expected({}));
    backward(optimizer, { a: 1 });
    expect(fail).toThrow("no more data");
    expect(optimizer.gradientView).toEqual(expected({ a: 1 }));
    optimizer.step();
    optimizer.zeroGrad();
    expect(fail).toThrow("no more data");
    expect(optimizer.gradientView).toEqual(expected({}));
  });

  test("what is written into it is what the step takes: 0 − 0.5 · (1 + 3) = −2", () => {
    prepare();
    const arena = createArena({ a: 2, b: 2 });
    const optimizer = wasmOptimizer(sgd({ lr: 0.5 }), arena);
    optimizer.backward(({ grad }) => Number(grad("a").fill(1)) && 0);
    const view = optimizer.gradientView!;
    // The other rank's.
    view[0]! += 3;
    optimizer.step();
    expect([...arena.a, ...arena.b]).toEqual([-2, -0.5, 0, 0]);
  });

  test("loads and written gradients are in it, in a new optimizer and in one that has trained", async () => {
    prepare();
    const source = create();
    backward(source, { a: 1, b: 1, c: 1 });
    source.step();
    source.zeroGrad();
    backward(source, { a: 2, c: 3 });
    const state = await source.stateDict();
    for (const trained of [false, true]) {
      const optimizer = create();
      const view = optimizer.gradientView;
      if (trained) backward(optimizer, { b: 5 });
      optimizer.prepareLoad(state).commit();
      expect(optimizer.gradientView).toBe(view);
      expect(view).toEqual(expected({ a: 2, c: 3 }));
      backward(optimizer, { a: 1 });
      expect(view).toEqual(expected({ a: 3, c: 3 }));
      optimizer.zeroGrad();
      optimizer.writeGradients({ b: new Float32Array(64).fill(6) });
      expect(optimizer.gradientView).toEqual(expected({ b: 6 }));
      optimizer.zeroGrad();
      backward(optimizer, { a: 1 });
      expect(view).toEqual(expected({ a: 1 }));
      // There is room for all that Adam needs, load after load.
      for (let load = 0; load < 5; load += 1) optimizer.prepareLoad(state).commit();
      backward(optimizer, { a: 1, b: 1, c: 1 });
      optimizer.step();
    }
  });

  test("places say where each gradient is, and whether it is pending, whatever the order and the names", () => {
    prepare();
    const { a, b, empty, c } = createArena(lengths);
    const optimizer = wasmOptimizer(adam({ lr: 0.1 }), [
      { params: { third: c, first: a } },
      { params: { b } },
    ]);
    // Not all of the arena yet.
    expect(optimizer.gradientPlaces).toBeUndefined();
    optimizer.addParamGroup({ params: { empty } });
    const list = optimizer.gradientPlaces!;
    expect(list.map(({ name }) => name)).toEqual(optimizer.parameters.map(({ name }) => name));
    const pending = (): readonly string[] => list.filter((place) => place.pending).map(({ name }) => name);
    expect(pending()).toEqual([]);
    optimizer.backward(({ grad }) => Number(grad("third").fill(3)) && 0);
    optimizer.backward(({ grad }) => Number(grad("first").fill(1)) && 0);
    expect(pending()).toEqual(["third", "first"]);
    const view = optimizer.gradientView!;
    expect(view).toEqual(expected({ a: 1, c: 3 }));
    for (const [name, [from, to]] of [
      ["first", places.a],
      ["b", places.b],
      ["empty", places.empty],
      ["third", places.c],
    ] as const) {
      const place = list.find((one) => one.name === name)!;
      expect(place.view.buffer).toBe(view.buffer);
      expect([(place.view.byteOffset - view.byteOffset) / 4, place.view.length]).toEqual([from, to - from]);
    }
    optimizer.step();
    expect(pending()).toEqual(["third", "first"]);
    optimizer.zeroGrad();
    expect(pending()).toEqual([]);
    optimizer.writeGradients({ b: new Float32Array(64) });
    expect(pending()).toEqual(["b"]);
    expect(optimizer.gradientPlaces).toBe(list);
    optimizer.dispose();
    expect(optimizer.gradientPlaces).toBeUndefined();
  });

  test("is absent elsewhere: own arrays, a part of an arena, a second optimizer, and after the end", () => {
    prepare();
    const rule = sgd({ lr: 1 });
    expect(wasmOptimizer(rule, { w: new Float32Array(4) }).gradientView).toBeUndefined();
    const arena = createArena(lengths);
    const { a, ...others } = arena;
    const optimizer = wasmOptimizer(rule, others);
    expect(optimizer.gradientView).toBeUndefined();
    optimizer.addParamGroup({ params: { a } });
    expect(optimizer.gradientView?.length).toBe(size);
    const second = wasmOptimizer(rule, arena);
    expect(second.gradientView).toBeUndefined();
    // It trains all the same.
    second.backward(({ grad }) => Number(grad("b").fill(1)) && 0);
    second.step();
    expect([arena.b[0], optimizer.gradientView]).toEqual([-1, expected({})]);
    optimizer.dispose();
    expect(optimizer.gradientView).toBeUndefined();
    expect(wasmOptimizer(rule, arena).gradientView?.length).toBe(size);
  });
});

test("an optimizer on an arena has the bits of one on its own arrays, in windows, with clipping and a loss scale", () => {
  const run = (params: { readonly [K in Name]: Float32Array }): Float32Array[] => {
    const wrapper = createOptimWrapper(wasmOptimizer(adam({ lr: 0.01, amsgrad: true }), params), {
      accumulativeCounts: 3,
      clipGrad: { maxNorm: 1 },
      lossScale: { initScale: 256, growthInterval: 2 },
    });
    for (let n = 0; n < 20; n += 1) {
      wrapper.updateParams(({ grad, scale }) => {
        for (const name of names.filter((_, index) => (n + index) % 4 !== 0)) {
          const gradient = grad(name);
          for (let at = 0; at < gradient.length; at += 1) gradient[at] = Math.sin(n * 7 + at) * scale;
        }
        return 0;
      });
    }
    return Object.values(params);
  };
  const own = Object.fromEntries(names.map((name) => [name, new Float32Array(lengths[name])]));
  expect(run(createArena(lengths))).toEqual(run(own as { [K in Name]: Float32Array }));
});
