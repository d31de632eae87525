import type { AnyOptimWrapper, OptimWrapper, ParamGroups, StepMetrics } from "@mm/optim-core";
import { describe, expectTypeOf, test } from "vitest";
import {
  type AnyOptimWrapperDict,
  type CallOneWrapper,
  OptimWrapperDict,
  type OptimWrapperDictStateDict,
} from "@mm/optim-dict";

// Two backends by their types alone: a closure that returns a tensor, and one that fills gradients by name.
interface Scalar {
  readonly dtype: "float32";
  dispose(): void;
}
type TfjsLoss = () => Scalar;
type WasmLoss = (call: { grad(name: "w" | "b"): Float32Array; scale: number }) => number;

interface Adam {
  lr: number;
  betas: readonly [number, number];
  weightDecay: number;
}
interface Sgd {
  lr: number;
  momentum: number;
}

declare const generator: OptimWrapper<TfjsLoss, Scalar, Adam>;
declare const discriminator: OptimWrapper<WasmLoss, number, Sgd>;
declare const scalar: Scalar;

const dict = new OptimWrapperDict({ generator, discriminator });

describe("construction", () => {
  test("wrappers of any backend, in a record, an interface or a const", () => {
    interface Gan {
      generator: OptimWrapper<TfjsLoss, Scalar, Adam>;
      discriminator: OptimWrapper<WasmLoss, number, Sgd>;
    }
    const wrappers: Gan = { generator, discriminator };
    expectTypeOf(new OptimWrapperDict(wrappers).get("discriminator")).toEqualTypeOf(discriminator);
    new OptimWrapperDict({ generator, discriminator } as const);
    new OptimWrapperDict({});
  });

  test("what is no wrapper is refused", () => {
    // @ts-expect-error a number is no wrapper
    new OptimWrapperDict({ generator: 3 });
    // @ts-expect-error an optimizer must be wrapped
    new OptimWrapperDict({ generator: generator.optimizer });
    // @ts-expect-error a dict is no wrapper
    new OptimWrapperDict({ inner: dict });
    // @ts-expect-error it may be absent
    new OptimWrapperDict({ generator: undefined as typeof generator | undefined });
    // @ts-expect-error it may be absent
    new OptimWrapperDict({} as { generator?: typeof generator });
    // @ts-expect-error a wrapper without `step`
    new OptimWrapperDict({ generator: {} as Omit<typeof generator, "step"> });
  });

  test("a dict is no wrapper", () => {
    // @ts-expect-error its kind differs, and it has no window
    const wrapper: AnyOptimWrapper = dict;
    expectTypeOf(wrapper).not.toBeAny();
    expectTypeOf(dict.kind).toEqualTypeOf<"optim-wrapper-dict">();
  });
});

describe("a wrapper by its name", () => {
  test("has its own type", () => {
    expectTypeOf(dict.get("generator")).toEqualTypeOf(generator);
    expectTypeOf(dict.get("discriminator")).toEqualTypeOf(discriminator);
    const either = {} as "generator" | "discriminator";
    expectTypeOf(dict.get(either)).toEqualTypeOf<typeof generator | typeof discriminator>();
  });

  test("an unknown name does not compile", () => {
    // @ts-expect-error there is no critic
    dict.get("critic");
    const name: string = dict.toString();
    // @ts-expect-error any string may be unknown: ask has() first
    dict.get(name);
  });

  test("takes closures of its backend and no other", () => {
    dict.get("generator").updateParams(() => scalar);
    dict.get("discriminator").updateParams(({ grad, scale }) => (grad("w")[0] ?? 0) * scale);
    // @ts-expect-error the generator is on tfjs, whose losses are tensors
    dict.get("generator").updateParams(() => 1);
    // @ts-expect-error tfjs hands no gradients out
    dict.get("generator").updateParams(({ grad }: { grad(name: "w"): Float32Array }) => (grad("w"), scalar));
    // @ts-expect-error the discriminator is on wasm, whose losses are numbers
    dict.get("discriminator").updateParams(() => scalar);
    // @ts-expect-error it has no parameter v
    dict.get("discriminator").updateParams(({ grad }) => grad("v").length);
    // @ts-expect-error a closure is synchronous
    dict.get("generator").updateParams(async () => scalar);
  });

  test("returns the loss of its backend", () => {
    expectTypeOf(
      dict.get("generator").updateParams(() => scalar, { returnLoss: true }).loss,
    ).toEqualTypeOf<Scalar>();
    expectTypeOf(
      dict.get("discriminator").backward(() => 1, { returnLoss: true }).loss,
    ).toEqualTypeOf<number>();
  });

  test("has the hyperparameters of its rule", () => {
    const [adam] = dict.get("generator").paramGroups;
    adam.lr = 1e-4;
    adam.betas = [0.5, 0.999];
    // @ts-expect-error Adam has no momentum
    adam.momentum = 0.9;
    dict.paramGroups.discriminator[0].momentum = 0.9;
    // @ts-expect-error SGD has no betas
    dict.paramGroups.discriminator[0].betas = [0.5, 0.999];
    expectTypeOf(dict.paramGroups).toEqualTypeOf<{
      readonly generator: ParamGroups<Adam>;
      readonly discriminator: ParamGroups<Sgd>;
    }>();
  });
});

describe("iteration", () => {
  test("a name narrows its wrapper", () => {
    for (const [name, wrapper] of dict) {
      expectTypeOf(name).toEqualTypeOf<"generator" | "discriminator">();
      if (name === "generator") expectTypeOf(wrapper).toEqualTypeOf(generator);
      else expectTypeOf(wrapper).toEqualTypeOf(discriminator);
      // @ts-expect-error not before it is narrowed: tfjs and wasm want different closures
      wrapper.updateParams(() => scalar);
    }
    for (const [name, wrapper] of dict.items()) if (name === "generator") wrapper.updateParams(() => scalar);
    dict.forEach((wrapper, name) => {
      expectTypeOf(wrapper).toEqualTypeOf<typeof generator | typeof discriminator>();
      expectTypeOf(name).toEqualTypeOf<"generator" | "discriminator">();
    });
    expectTypeOf([...dict.keys()]).toEqualTypeOf<("generator" | "discriminator")[]>();
    expectTypeOf([...dict.values()]).toEqualTypeOf<(typeof generator | typeof discriminator)[]>();
  });

  test("what takes many wrappers takes a dict", () => {
    expectTypeOf(dict).toExtend<Iterable<readonly [string, AnyOptimWrapper]>>();
    const map: ReadonlyMap<string, AnyOptimWrapper> = new Map<string, AnyOptimWrapper>(dict);
    expectTypeOf(map).not.toBeAny();
  });

  test("what takes any dict takes this one", () => {
    const any: AnyOptimWrapperDict = dict;
    expectTypeOf(any.get("anything")).toEqualTypeOf<AnyOptimWrapper>();
    expectTypeOf(any.getLr()["generator.lr"]).toEqualTypeOf<readonly number[] | undefined>();
    const wrappers: Record<string, AnyOptimWrapper> = {};
    expectTypeOf(new OptimWrapperDict(wrappers)).toExtend<AnyOptimWrapperDict>();
    // @ts-expect-error a wrapper is no dict
    const wrapper: AnyOptimWrapperDict = generator;
    expectTypeOf(wrapper).not.toBeAny();
  });
});

describe("of all wrappers", () => {
  test("rates and momenta have the names in their keys", () => {
    const lr = dict.getLr();
    expectTypeOf(lr["generator.lr"]).toEqualTypeOf<readonly number[]>();
    expectTypeOf(lr["discriminator.baseLr"]).toEqualTypeOf<readonly number[] | undefined>();
    expectTypeOf(dict.getMomentum()["discriminator.momentum"]).toEqualTypeOf<readonly number[]>();
    // @ts-expect-error there is no critic
    void lr["critic.lr"];
    // @ts-expect-error the key has the name of a wrapper
    void lr.lr;
  });

  test("metrics and states are by name", () => {
    expectTypeOf(dict.readMetrics()).resolves.toEqualTypeOf<{
      readonly generator: StepMetrics;
      readonly discriminator: StepMetrics;
    }>();
    expectTypeOf(dict.stateDict()).resolves.toEqualTypeOf<
      OptimWrapperDictStateDict<"generator" | "discriminator">
    >();
    // A state that is read from a file has any names.
    const read = {} as OptimWrapperDictStateDict;
    void dict.loadStateDict(read, { strict: false, restore: { counts: false } });
    void dict.loadStateDict(read, { rename: (saved) => saved });
    void dict.loadStateDict(read, {
      rename: (saved, name) => {
        expectTypeOf(name).toEqualTypeOf<"generator" | "discriminator">();
        return `${name}/${saved}`;
      },
    });
    // @ts-expect-error the state of one wrapper is loaded by that wrapper
    void generator.stateDict().then((state) => dict.loadStateDict(state));
    // @ts-expect-error an option that nobody reads
    void dict.loadStateDict(read, { stirct: false });
  });

  test("counts: one status, or by name", () => {
    dict.initializeCountStatus({ initCounts: 0, maxCounts: 10 });
    dict.initializeCountStatus({ generator: { maxCounts: 10 } });
    // @ts-expect-error there is no critic
    dict.initializeCountStatus({ critic: { maxCounts: 10 } });
    // A loop can hold either kind.
    const either = dict as typeof dict | typeof generator;
    either.initializeCountStatus({ maxCounts: 10 });
  });
});

describe("what one wrapper must take", () => {
  test("does not compile, and the type that TypeScript prints says what to call", () => {
    // @ts-expect-error which wrapper's parameters?
    dict.updateParams(() => scalar);
    // @ts-expect-error which wrapper's loss?
    dict.backward(() => scalar);
    // @ts-expect-error which wrapper?
    dict.step();
    // @ts-expect-error which wrapper's context?
    dict.optimContext(() => 1);
    expectTypeOf<ThisParameterType<typeof dict.step>>().toEqualTypeOf<CallOneWrapper<"step">>();
    expectTypeOf<CallOneWrapper<"step">>().toEqualTypeOf<"call one wrapper: optim.get(name).step(…)">();
  });

  test("nor on what may be a dict or a wrapper", () => {
    const either = dict as typeof dict | typeof generator;
    // @ts-expect-error it may be a dict
    either.step();
  });
});
