import { createOptimWrapper, isOptimError, type OptimErrorCode, type Optimizer } from "@mm/optim-core";
import { adam, ema, sam, samAscent, type SamAscentHyperparameters, sgd } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { arrayOptimizer, type GivenGradients } from "../../../test-support/array-optimizer.ts";
import { bitsOf, numbers } from "../../../test-support/numbers.ts";

type Ascent = Optimizer<GivenGradients, undefined, SamAscentHyperparameters>;

/** The gradient of ½‖w‖² + ½‖b‖², which is the parameters themselves. */
const bowl =
  (parameters: { readonly [name: string]: Float32Array }): GivenGradients =>
  () =>
    Object.fromEntries(Object.entries(parameters).map(([name, data]) => [name, data.slice()]));

function samOver(
  parameters: { readonly [name: string]: Float32Array },
  {
    rho = 0.5,
    lr = 0.1,
    adaptive = false,
  }: { readonly rho?: number; readonly lr?: number; readonly adaptive?: boolean } = {},
) {
  const ascent = arrayOptimizer(samAscent({ rho, adaptive }), parameters);
  return { ascent, optimizer: sam(arrayOptimizer(sgd({ lr }), parameters), ascent) };
}

function codeOf(run: () => unknown): OptimErrorCode | undefined {
  try {
    run();
  } catch (error) {
    if (isOptimError(error)) return error.code;
    throw error;
  }
  return undefined;
}

test("descends along the gradient at θ + ρg/‖g‖, the norm taken over all parameters", () => {
  const parameters = { w: Float32Array.of(3), b: Float32Array.of(4) };
  const { optimizer } = samOver(parameters);
  const visited: number[][] = [];
  optimizer.backward(() => {
    visited.push([...parameters.w, ...parameters.b]);
    return bowl(parameters)();
  });
  // g = (3, 4), ‖g‖ = 5, ρg/‖g‖ = 0.5 · (0.6, 0.8)
  expect(visited[0]).toEqual([3, 4]);
  expect(visited[1]?.[0]).toBeCloseTo(3.3, 6);
  expect(visited[1]?.[1]).toBeCloseTo(4.4, 6);
  expect(visited).toHaveLength(2);
  expect([...parameters.w, ...parameters.b]).toEqual([3, 4]);

  optimizer.step();
  expect(parameters.w[0]).toBeCloseTo(3 - 0.1 * 3.3, 6);
  expect(parameters.b[0]).toBeCloseTo(4 - 0.1 * 4.4, 6);
});

describe("adaptive", () => {
  /** The points at which a closure with these gradients is asked, w before b. */
  function visitedBy(
    { optimizer }: { readonly optimizer: Optimizer<GivenGradients, undefined> },
    parameters: { readonly [name: string]: Float32Array },
    gradients: { readonly [name: string]: readonly number[] },
  ): number[][] {
    const visited: number[][] = [];
    optimizer.backward(() => {
      visited.push(Object.values(parameters).flatMap((data) => [...data]));
      return gradients;
    });
    return visited;
  }

  test("climbs by ρθ²g/‖θg‖, the norm taken over all parameters, and comes back", () => {
    const parameters = { w: Float32Array.of(3, 0), b: Float32Array.of(-2) };
    const subject = samOver(parameters, { adaptive: true });
    const visited = visitedBy(subject, parameters, { w: [1, 7], b: [2] });
    // θg = (3, 0, −4), ‖θg‖ = 5, θ²g = (9, 0, 8), ρ/5 = 0.1; a weight of 0 stays.
    expect(visited[0]).toEqual([3, 0, -2]);
    expect(visited[1]?.[0]).toBeCloseTo(3.9, 6);
    expect(visited[1]?.[1]).toBe(0);
    expect(visited[1]?.[2]).toBeCloseTo(-1.2, 6);
    expect([...parameters.w, ...parameters.b]).toEqual([3, 0, -2]);
  });

  test("is the same climb where one layer is multiplied by a number and the next divided by it", () => {
    // The loss f(w·b) has the gradients f′b and f′w: with (cw, b/c) they are those over c and times c.
    const climbed = (c: number): readonly number[] => {
      const parameters = { w: Float32Array.of(1.5 * c), b: Float32Array.of(0.5 / c) };
      const gradients = { w: [0.5 / c], b: [1.5 * c] };
      return visitedBy(samOver(parameters, { adaptive: true }), parameters, gradients)[1] as number[];
    };
    const [w, b] = climbed(1) as [number, number];
    // θg = (0.75, 0.75), ‖θg‖ = 0.75√2, θ²g = (1.125, 0.375), ρ/‖θg‖ = √2/3
    expect(w).toBeCloseTo(1.5 + (1.125 * Math.SQRT2) / 3, 6);
    expect(b).toBeCloseTo(0.5 + (0.375 * Math.SQRT2) / 3, 6);
    const [large, small] = climbed(16) as [number, number];
    expect(large / 16).toBeCloseTo(w, 6);
    expect(small * 16).toBeCloseTo(b, 6);
  });

  test("a group without it has the factor 1, in the norm of all as well, and both are live", () => {
    const parameters = { w: Float32Array.of(3), b: Float32Array.of(-2) };
    const ascent = arrayOptimizer(samAscent({ rho: 0.5 }), [
      { params: { w: parameters.w }, adaptive: true },
      { params: { b: parameters.b } },
    ]);
    const optimizer = sam(arrayOptimizer(sgd(), parameters), ascent);
    const climb = (): number[] => visitedBy({ optimizer }, parameters, { w: [1], b: [4] })[1] as number[];
    // (θg, g) = (3, 4), the norm 5, the climb 0.1·(θ²g, g) = 0.1·(9, 4)
    expect(climb()[0]).toBeCloseTo(3.9, 6);
    expect(climb()[1]).toBeCloseTo(-1.6, 6);
    ascent.paramGroups[0].adaptive = false;
    // ‖g‖ = √17
    expect(climb()[0]).toBeCloseTo(3 + 0.5 / Math.sqrt(17), 6);
    expect(climb()[1]).toBeCloseTo(-2 + 2 / Math.sqrt(17), 6);
  });

  test.each([1e-12, 1, 1e25])("ρ is ρ for gradients of size %f", (size) => {
    const parameters = { w: Float32Array.of(3), b: Float32Array.of(-2) };
    const subject = samOver(parameters, { adaptive: true });
    const visited = visitedBy(subject, parameters, { w: [size], b: [2 * size] });
    expect(visited[1]?.[0]).toBeCloseTo(3.9, 5);
    expect(visited[1]?.[1]).toBeCloseTo(-1.2, 5);
  });

  test.each([
    ["all gradients are 0", [3, -2], [0, 0]],
    ["all weights are 0", [0, 0], [1, 2]],
    ["a gradient is not a number", [3, -2], [NaN, 1]],
    ["a gradient is infinite", [3, -2], [Infinity, 1]],
    ["an infinite gradient meets a weight of 0", [0, -2], [Infinity, 1]],
  ] as const)("nothing climbs where %s", (_, [w, b], [ofW, ofB]) => {
    const parameters = { w: Float32Array.of(w), b: Float32Array.of(b) };
    const subject = samOver(parameters, { adaptive: true });
    expect(visitedBy(subject, parameters, { w: [ofW], b: [ofB] })[1]).toEqual([w, b]);
  });
});

test("calls nothing that waits for a device", () => {
  const parameters = { w: Float32Array.of(3), b: Float32Array.of(4) };
  const calls: string[] = [];
  const watched = <T extends object>(name: string, optimizer: T): T =>
    new Proxy(optimizer, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key, target);
        if (typeof member !== "function") return member;
        return (...args: unknown[]): unknown => {
          calls.push(`${name}.${String(key)}`);
          return Reflect.apply(member, target, args);
        };
      },
    });
  const optimizer = sam(
    watched("base", arrayOptimizer(sgd(), parameters)),
    watched("ascent", arrayOptimizer(samAscent(), parameters)),
  );
  calls.length = 0;
  optimizer.backward(bowl(parameters));
  optimizer.step();
  optimizer.zeroGrad();
  expect(calls).toEqual([
    "ascent.backward",
    "ascent.step", // climbs
    "base.backward",
    "ascent.step", // comes back
    "ascent.zeroGrad",
    "base.step",
    "base.zeroGrad",
  ]);
});

test.each([1e-12, 1e-6, 1, 1e12, 1e25])("ρ is ρ for gradients of size %f", (size) => {
  const parameters = { w: new Float32Array(2) };
  const { optimizer } = samOver(parameters);
  const visited: number[][] = [];
  optimizer.backward(() => {
    visited.push([...parameters.w]);
    return { w: [3 * size, -4 * size] };
  });
  // The clip coefficient's 1e-6 is below one part in a million of what it is added to from ‖g‖ = 1e-12 on.
  expect(visited[1]?.[0]).toBeCloseTo(0.3, 6);
  expect(visited[1]?.[1]).toBeCloseTo(-0.4, 6);
});

test("comes back to the bit: zeros of either sign, denormals, and numbers that the climb rounds away", () => {
  const w = Float32Array.of(-0, 0, 1e-45, -1e-40, 1e30, 0.1, -1 / 3, ...numbers(60, 5));
  const before = bitsOf(w);
  const { optimizer } = samOver({ w });
  const seen: (readonly number[])[] = [];
  optimizer.backward(() => {
    seen.push(bitsOf(w));
    return { w: numbers(67, 6) };
  });
  expect(seen[0]).toEqual(before);
  expect(seen[1]).not.toEqual(before);
  expect(bitsOf(w)).toEqual(before);
});

test("every micro-batch of a window has its own perturbation, and the base divides, clips and steps", () => {
  const parameters = { w: Float32Array.of(3), b: Float32Array.of(4) };
  const { optimizer } = samOver(parameters, { lr: 1 });
  const wrapper = createOptimWrapper(optimizer, { accumulativeCounts: 2, clipGrad: { maxNorm: 1.1 } });
  // The array optimizer does not scale: 2 × the gradient, as if each loss were doubled.
  expect(wrapper.updateParams(bowl(parameters)).updated).toBe(false);
  expect([...parameters.w, ...parameters.b]).toEqual([3, 4]);
  wrapper.updateParams(() => ({ w: [0], b: [parameters.b[0] as number] }));
  // First (3.3, 4.4); second climbs along b alone: (0, 4.5). Sum (3.3, 8.9), norm 9.492, clipped to 1.1.
  const norm = Math.hypot(3.3, 8.9);
  expect(parameters.w[0]).toBeCloseTo(3 - (1.1 * 3.3) / norm, 5);
  expect(parameters.b[0]).toBeCloseTo(4 - (1.1 * 8.9) / norm, 5);
});

test("a parameter that the loss does not reach, or that is frozen, neither climbs nor counts in the norm", () => {
  const parameters = { w: Float32Array.of(3), b: Float32Array.of(4), c: Float32Array.of(7) };
  const { optimizer, ascent } = samOver(parameters);
  optimizer.freeze(["b"]);
  expect([optimizer.frozen, ascent.frozen]).toEqual([["b"], ["b"]]);
  const visited: number[][] = [];
  const loss: GivenGradients = () => {
    visited.push([parameters.w, parameters.b, parameters.c].map(([x]) => x as number));
    return { w: [3], b: [4] };
  };
  optimizer.backward(loss);
  expect(visited[1]).toEqual([3.5, 4, 7]); // the whole of ρ = 0.5 goes to w
  optimizer.unfreeze(["b"]);
  optimizer.backward(loss);
  expect(visited[3]?.[0]).toBeCloseTo(3.3, 6);
  expect(visited[3]?.[1]).toBeCloseTo(4.4, 6);
});

test("what the base froze before is frozen in the ascent too", () => {
  const parameters = { w: Float32Array.of(3), b: Float32Array.of(4) };
  const base = arrayOptimizer(sgd(), parameters);
  base.freeze(["b"]);
  const ascent = arrayOptimizer(samAscent(), parameters);
  sam(base, ascent);
  expect(ascent.frozen).toEqual(["b"]);
});

test("ρ is live, and may differ by group", () => {
  const [w, b] = [Float32Array.of(3), Float32Array.of(4)];
  const ascent = arrayOptimizer(samAscent({ rho: 0.5 }), [
    { name: "w", params: { w } },
    { name: "b", params: { b }, rho: 1 },
  ]);
  const optimizer = sam(arrayOptimizer(sgd(), { w, b }), ascent);
  const visited: number[][] = [];
  const loss: GivenGradients = () => {
    visited.push([w[0] as number, b[0] as number]);
    return { w: [3], b: [4] };
  };
  optimizer.backward(loss);
  // ĝ = (0.6, 0.8)
  expect(visited[1]?.[0]).toBeCloseTo(3.3, 6);
  expect(visited[1]?.[1]).toBeCloseTo(4.8, 6);
  ascent.paramGroups[1]!.rho = 0;
  optimizer.backward(loss);
  expect(visited[3]?.[0]).toBeCloseTo(3.3, 6);
  expect(visited[3]?.[1]).toBe(4);
});

test("added groups go to both, and their hyperparameters to the base", () => {
  const parameters = { w: Float32Array.of(3) };
  const { optimizer, ascent } = samOver(parameters);
  const [b, c] = [Float32Array.of(4), Float32Array.of(0)];
  optimizer.addParamGroup({ name: "late", params: { b }, lr: 1 });
  optimizer.addParamGroup({ params: { c } });
  expect(optimizer.paramGroups.map(({ name, lr }) => [name, lr])).toEqual([
    ["0", 0.1],
    ["late", 1],
    ["2", 0.1],
  ]);
  expect(ascent.paramGroups.map(({ name, params }) => [name, params])).toEqual([
    ["0", ["w"]],
    ["late", ["b"]],
    ["2", ["c"]],
  ]);
  optimizer.backward(bowl({ ...parameters, b }));
  optimizer.step();
  expect(parameters.w[0]).toBeCloseTo(3 - 0.1 * 3.3, 6);
  expect(b[0]).toBeCloseTo(4 - 4.4, 6);

  const names = ascent.paramGroups.map(({ name }) => name);
  expect(codeOf(() => optimizer.addParamGroup({ params: { again: b } }))).toBe("duplicate-parameter");
  expect(ascent.paramGroups.map(({ name }) => name)).toEqual(names);
});

test("an added group finds a name in an ascent that is grouped otherwise", () => {
  const [a, b, c] = [Float32Array.of(1), Float32Array.of(1), Float32Array.of(1)];
  const ascent = arrayOptimizer(samAscent(), [
    { name: "0", params: { a } },
    { name: "1", params: { b } },
  ]);
  const optimizer = sam(arrayOptimizer(sgd(), { a, b }), ascent);
  optimizer.addParamGroup({ params: { c } });
  expect(ascent.paramGroups.map(({ name }) => name)).toEqual(["0", "1", "1'"]);
});

test.each([
  ["the first pass", 1],
  ["the second pass, at the perturbed point", 2],
])("a closure that throws in %s changes nothing", async (_, failing) => {
  const parameters = { w: Float32Array.from(numbers(9, 1)), b: Float32Array.of(-0) };
  const { optimizer } = samOver(parameters);
  optimizer.backward(bowl(parameters));
  const before = Object.values(parameters).map(bitsOf);
  const gradients = await optimizer.readGradients();
  let pass = 0;
  expect(() =>
    optimizer.backward(() => {
      pass += 1;
      if (pass === failing) throw new Error("from the closure");
      return bowl(parameters)();
    }),
  ).toThrow("from the closure");
  expect(Object.values(parameters).map(bitsOf)).toEqual(before);
  expect(await optimizer.readGradients()).toEqual(gradients);

  // And it goes on as if nothing had been.
  const again = { w: Float32Array.from(numbers(9, 1)), b: Float32Array.of(-0) };
  const untouched = samOver(again).optimizer;
  untouched.backward(bowl(again));
  for (const subject of [
    { subject: optimizer, of: parameters },
    { subject: untouched, of: again },
  ]) {
    subject.subject.backward(bowl(subject.of));
    subject.subject.step();
  }
  expect(parameters).toEqual(again);
});

test.each([
  ["the first pass", 1],
  ["the second pass", 2],
])("a closure may not change its own optimizer, in %s either", async (_, inside) => {
  const parameters = { w: Float32Array.of(3), b: Float32Array.of(4) };
  const { optimizer } = samOver(parameters);
  const state = await optimizer.stateDict();
  const rejected = async (call: () => Promise<unknown>): Promise<OptimErrorCode | undefined> =>
    call().then(
      () => undefined,
      (error: unknown) => (isOptimError(error) ? error.code : undefined),
    );
  const calls: readonly (() => unknown)[] = [
    () => optimizer.backward(bowl(parameters)),
    () => optimizer.step(),
    () => optimizer.zeroGrad(),
    () => optimizer.freeze(["w"]),
    () => optimizer.unfreeze(["w"]),
    () => optimizer.addParamGroup({ params: { c: Float32Array.of(1) } }),
    () => optimizer.createLossScaler("dynamic"),
    () => optimizer.writeParameters({ w: Float32Array.of(9) }),
    () => optimizer.writeGradients({ w: Float32Array.of(9) }),
    () => optimizer.dispose(),
    () => optimizer.prepareLoad(state),
    () => optimizer.guard("flush"),
  ];
  const reads: readonly (() => Promise<unknown>)[] = [
    () => optimizer.readMetrics(),
    () => optimizer.stateDict(),
    () => optimizer.readGradients(),
    () => optimizer.readParameters(),
  ];
  const codes: unknown[] = [];
  let pass = 0;
  optimizer.backward(() => {
    pass += 1;
    if (pass === inside) codes.push(...calls.map(codeOf), ...reads.map(rejected));
    return bowl(parameters)();
  });
  expect(new Set(await Promise.all(codes))).toEqual(new Set(["reentrant"]));
  expect(codes).toHaveLength(calls.length + reads.length);
  optimizer.step();
  expect(parameters.w[0]).toBeCloseTo(3 - 0.1 * 3.3, 6);
});

test.each([Number.NaN, Infinity, -Infinity])(
  "where the gradient at θ holds %f nothing climbs, and the base sees it",
  (value) => {
    const parameters = { w: Float32Array.of(3, 5), b: Float32Array.of(4) };
    const { optimizer } = samOver(parameters);
    const wrapper = createOptimWrapper(optimizer, { onNonFinite: "skip" });
    const visited: number[][] = [];
    wrapper.updateParams(() => {
      visited.push([...parameters.w, ...parameters.b]);
      return { w: [3, value], b: [4] };
    });
    expect(visited).toEqual([
      [3, 5, 4],
      [3, 5, 4],
    ]);
    expect([...parameters.w, ...parameters.b]).toEqual([3, 5, 4]);

    // And the next step is an ordinary one.
    wrapper.updateParams(() => ({ w: [parameters.w[0] as number, 0], b: [parameters.b[0] as number] }));
    expect(parameters.w[0]).toBeCloseTo(3 - 0.1 * 3.3, 6);
    expect(parameters.b[0]).toBeCloseTo(4 - 0.1 * 4.4, 6);
  },
);

test("a gradient that is not finite in the second pass alone leaves parameters to the base, too", () => {
  const parameters = { w: Float32Array.of(3) };
  const wrapper = createOptimWrapper(samOver(parameters).optimizer, { onNonFinite: "skip" });
  wrapper.updateParams(() => ({ w: [parameters.w[0] === 3 ? 3 : Infinity] }));
  expect(parameters.w[0]).toBe(3);
});

test("its state is the base's: a run may begin without SAM, and end without", async () => {
  const make = (w: Float32Array) => arrayOptimizer(adam({ lr: 0.01 }), { w });
  const [a, b] = [Float32Array.from(numbers(5, 1)), Float32Array.from(numbers(5, 1))];
  const first = sam(make(a), arrayOptimizer(samAscent(), { w: a }));
  first.backward(bowl({ w: a }));
  first.step();
  const plain = make(b);
  plain.prepareLoad(await first.stateDict()).commit();
  plain.writeParameters(await first.readParameters());
  expect(await plain.stateDict()).toEqual(await first.stateDict());
  for (const optimizer of [first, plain]) {
    optimizer.zeroGrad();
    optimizer.backward(() => ({ w: numbers(5, 2) })); // the same gradient everywhere: SAM changes nothing
    optimizer.step();
  }
  expect(a).toEqual(b);
});

test("refuses optimizers that do not belong together", () => {
  const [w, b] = [Float32Array.of(1), Float32Array.of(1)];
  const base = arrayOptimizer(sgd(), { w });
  const ascent = arrayOptimizer(samAscent(), { w });
  const over = (parameters: { readonly [name: string]: Float32Array }): Ascent =>
    arrayOptimizer(samAscent(), parameters);
  const refusals: readonly (readonly [words: string, run: () => unknown])[] = [
    ["sam: base: expected an optimizer", () => sam(undefined as unknown as typeof base, ascent)],
    ["sam: ascent: expected an optimizer", () => sam(base, samAscent() as unknown as Ascent)],
    ['made with samAscent(), got "SGD"', () => sam(base, arrayOptimizer(sgd(), { w }) as unknown as Ascent)],
    ["a second optimizer", () => sam(ascent, ascent)],
    ["none that is w [1]", () => sam(base, over({ b: w }))],
    ["also b [1]", () => sam(base, over({ w, b }))],
    ["none that is w [1]", () => sam(base, over({ w: Float32Array.of(1, 2) }))],
    [
      'expected an optimizer of array, got "other"',
      () => sam(base, { ...over({ w }), rule: "SAMAscent", backend: "other" }),
    ],
  ];
  for (const [words, run] of refusals) {
    expect(codeOf(run)).toBe("invalid-option");
    expect(run).toThrow(words);
  }
  expect(() => samAscent({ rho: -1 })).toThrow(/rho of at least 0/);
});

test("disposes both", () => {
  const parameters = { w: Float32Array.of(3) };
  const { optimizer, ascent } = samOver(parameters);
  optimizer.dispose();
  optimizer.dispose();
  expect(codeOf(() => ascent.step())).toBe("disposed");
  expect(codeOf(() => optimizer.backward(bowl(parameters)))).toBe("disposed");
});

test("the evaluation point is that of the base, and neither of the two steps meanwhile", async () => {
  const w = Float32Array.of(8);
  const ascent = arrayOptimizer(samAscent({ rho: 0.5 }), { w });
  const base = arrayOptimizer(ema(sgd({ lr: 1 }), { emaDecay: 0.5 }), { w });
  const wrapper = createOptimWrapper(sam(base, ascent));
  const loss: GivenGradients = () => ({ w: [4] });
  wrapper.updateParams(loss); // θ = 4, x = (8 + 4)/2
  expect(await wrapper.evaluating(() => w[0])).toBe(6);
  expect((await wrapper.readSlots(["ema"])).ema["w"]).toEqual(Float32Array.of(6));
  wrapper.swapIn();
  for (const call of [
    () => wrapper.updateParams(loss),
    () => wrapper.optimizer.backward(loss),
    () => ascent.backward(loss),
    () => ascent.step(),
    () => wrapper.step(),
    () => wrapper.swapIn(),
  ]) {
    expect(codeOf(call)).toBe("evaluating");
  }
  expect(w[0]).toBe(6);
  wrapper.swapOut();
  expect(w[0]).toBe(4);
  expect(() =>
    wrapper.updateParams(() => {
      expect(codeOf(() => wrapper.swapIn())).toBe("reentrant");
      return loss();
    }),
  ).not.toThrow();
  wrapper.swapIn();
  wrapper.dispose();
  expect(w[0]).toBe(0);
});
