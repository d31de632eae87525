import {
  createOptimWrapper,
  isOptimError,
  type LossScaler,
  type OptimWrapper,
  type OptimWrapperOptions,
  type OptimWrapperStateDict,
} from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import * as fc from "fast-check";
import type { AnyFactory } from "../../src/kit/kit.ts";
import { type LossClosure, type OptimizerFactory, referenceFactory } from "../../src/index.ts";
import {
  type Closure,
  type Gradients,
  growthInterval,
  initialLossScale,
  momentum,
  type ModelOptions,
  type Outcome,
  type Precision,
  WrapperModel,
} from "./wrapper-model.ts";

const initials = { a: [1, -2], b: [0.5, 0, 3] } satisfies Gradients;
const names = ["a", "b"] as const;

/** One call, as plain data: a sequence that fails can be read, made smaller, and written down as a test. */
type Call =
  | { readonly call: "updateParams"; readonly closure: Closure; readonly weight: number }
  | { readonly call: "backward"; readonly closure: Closure; readonly scale: number }
  | { readonly call: "step"; readonly rescale: number }
  | { readonly call: "skip" | "flush" | "zeroGrad" | "save" | "load" }
  | { readonly call: "move"; readonly precision: Precision | undefined }
  | { readonly call: "accumulativeCounts"; readonly counts: number }
  | { readonly call: "lr"; readonly lr: number }
  | { readonly call: "freeze" | "unfreeze"; readonly names: readonly string[] };

const gradientOf = (length: number): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: -4, max: 4 }), { minLength: length, maxLength: length });
const finite: fc.Arbitrary<Gradients> = fc
  .record({ a: gradientOf(2), b: gradientOf(3), which: fc.constantFrom("a", "b", "both") })
  .map(({ a, b, which }) => ({ ...(which !== "b" && { a }), ...(which !== "a" && { b }) }));
const closure: fc.Arbitrary<Closure> = fc.oneof(
  { weight: 12, arbitrary: finite },
  { weight: 1, arbitrary: fc.constant<Closure>({ a: [1, Number.NaN] }) },
  { weight: 1, arbitrary: fc.constant<Closure>("throws") },
  { weight: 1, arbitrary: fc.constant<Closure>("reentrant") },
);
const someNames = fc.constantFrom<readonly string[]>(["a"], ["b"], ["a", "b"]);

const precision = fc.constantFrom<Precision>("propagate", "skip", "zero", "static", "dynamic", "shared");

const call: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      call: fc.constant("move" as const),
      precision: fc.option(precision, { nil: undefined, freq: 2 }),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      call: fc.constant("updateParams" as const),
      closure,
      weight: fc.constantFrom(1, 1, 1, 0, 2, 0.5),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      call: fc.constant("backward" as const),
      closure,
      scale: fc.constantFrom(1, 0.5, 2),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ call: fc.constant("step" as const), rescale: fc.constantFrom(1, 0.25) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      call: fc.constantFrom("skip", "flush", "zeroGrad", "save", "load"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      call: fc.constant("accumulativeCounts" as const),
      counts: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ call: fc.constant("lr" as const), lr: fc.constantFrom(0.25, 0.5, 1) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ call: fc.constantFrom("freeze", "unfreeze"), names: someNames }),
  },
);

interface Sequence {
  readonly options: ModelOptions;
  readonly calls: readonly Call[];
}

const sequences: fc.Arbitrary<Sequence> = fc.record({
  options: fc.record({
    accumulativeCounts: fc.integer({ min: 1, max: 4 }),
    maxCounts: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined, freq: 3 }),
    precision,
    clip: fc.option(fc.constantFrom({ maxNorm: 1 }, { maxNorm: 100 }, { clipValue: 0.5 }), {
      nil: undefined,
      freq: 2,
    }),
  }),
  calls: fc.array(call, { minLength: 1, maxLength: 24 }),
});

/**
 * Looks for a sequence of calls after which a wrapper of the backend and the model part, and tells the smallest that it finds: `undefined` for
 * none. With `FUZZ_RUNS` and `FUZZ_SEED` in the environment it is as many, of that seed.
 */
export async function searchSequence<P, Loss extends LossClosure, LossValue>(
  factory: OptimizerFactory<P, Loss, LossValue>,
  numRuns: number,
): Promise<string | undefined> {
  const { FUZZ_RUNS: runs = String(numRuns), FUZZ_SEED: seed = "1" } = process.env;
  // Every other `move` goes to the reference backend, and back.
  const homes = [factory, referenceFactory()] as const as unknown as readonly [AnyFactory, AnyFactory];
  const property = fc.asyncProperty(sequences, async (sequence) => {
    const found = await difference(homes, sequence);
    if (found !== undefined) throw new Error(found);
  });
  const details = await fc.check(property, { numRuns: Number(runs), seed: Number(seed) });
  if (!details.failed) return undefined;
  return `${fc.defaultReportMessage(details)}\n${String(details.errorInstance)}`;
}

/** A wrapper on one backend, with its parameters. */
interface Trained {
  readonly wrapper: OptimWrapper<LossClosure, unknown>;
  readonly loss: (closure: Closure) => LossClosure;
  /** Ends an iteration: a shared scaler is the caller's to update. */
  readonly update: () => void;
  readonly dispose: () => void;
}

function make(
  factory: AnyFactory,
  options: ModelOptions,
  values: Record<string, ArrayLike<number>>,
): Trained {
  const { precision, clip, maxCounts, accumulativeCounts } = options;
  const parameters = Object.fromEntries(
    names.map((name) => {
      const initial = Float32Array.from(values[name] ?? []);
      return [name, factory.createParameter(initial, [initial.length])];
    }),
  );
  const optimizer = factory.createOptimizer(sgd({ lr: 0.5, momentum }), parameters);
  const dynamic = { initScale: initialLossScale, growthInterval };
  const shared: LossScaler | undefined =
    precision === "shared" ? optimizer.createLossScaler(dynamic) : undefined;
  const scales = { static: initialLossScale, dynamic, shared };
  const written: OptimWrapperOptions = {
    accumulativeCounts,
    ...(precision in scales
      ? { lossScale: scales[precision as keyof typeof scales] }
      : { onNonFinite: precision as "propagate" | "skip" | "zero" }),
    ...(clip && { clipGrad: "clipValue" in clip ? { type: "value", ...clip } : clip }),
  };
  const wrapper = createOptimWrapper(optimizer, written);
  if (maxCounts !== undefined) wrapper.initializeCountStatus({ maxCounts });
  return {
    wrapper,
    loss(closure) {
      if (closure === "throws") {
        return () => {
          throw new Error("of the closure's own");
        };
      }
      if (closure === "reentrant") return () => wrapper.step();
      return factory.linearLoss(
        Object.entries(closure).map(([name, gradient]) => ({
          name,
          parameter: parameters[name],
          gradient: Float32Array.from(gradient),
        })),
      );
    },
    update: () => shared?.update(),
    dispose() {
      wrapper.dispose();
      shared?.dispose();
      for (const parameter of Object.values(parameters)) factory.disposeParameter?.(parameter);
    },
  };
}

/** Runs the calls on both. @returns where they part first, in words */
async function difference(
  homes: readonly [AnyFactory, AnyFactory],
  { options: given, calls }: Sequence,
): Promise<string | undefined> {
  const model = new WrapperModel(given, initials);
  let home = 0;
  let { precision } = given;
  let trained = make(homes[0], given, initials);
  let saved:
    { readonly state: OptimWrapperStateDict; readonly model: ReturnType<WrapperModel["save"]> } | undefined;
  try {
    for (const [index, made] of calls.entries()) {
      const at = `calls[${index}], ${made.call}`;
      const { wrapper } = trained;
      const outcomes: [received: Outcome | undefined, expected: Outcome | undefined] = [undefined, undefined];
      switch (made.call) {
        case "updateParams":
          outcomes[0] = outcomeOf(() =>
            wrapper.updateParams(trained.loss(made.closure), { weight: made.weight }),
          );
          outcomes[1] = model.updateParams(made.closure, made.weight);
          break;
        case "backward":
          outcomes[0] = outcomeOf(() => wrapper.backward(trained.loss(made.closure), { scale: made.scale }));
          outcomes[1] = model.backward(made.closure, made.scale);
          break;
        case "step":
          outcomes[0] = outcomeOf(() => wrapper.step({ rescale: made.rescale }));
          outcomes[1] = model.step(made.rescale);
          break;
        case "skip":
          outcomes[0] = outcomeOf(() => wrapper.skip());
          outcomes[1] = model.skip();
          break;
        case "flush":
          outcomes[0] = outcomeOf(() => wrapper.flush());
          outcomes[1] = model.flush();
          break;
        case "zeroGrad":
          wrapper.zeroGrad();
          model.zeroGrad();
          break;
        case "accumulativeCounts":
          wrapper.accumulativeCounts = model.accumulativeCounts = made.counts;
          break;
        case "lr":
          wrapper.paramGroups[0].lr = model.contents.lr = made.lr;
          break;
        case "freeze":
          wrapper.freeze(made.names);
          model.contents.frozen = names.filter((name) =>
            [...model.contents.frozen, ...made.names].includes(name),
          );
          break;
        case "unfreeze":
          wrapper.unfreeze(made.names);
          model.contents.frozen = model.contents.frozen.filter((name) => !made.names.includes(name));
          break;
        case "save":
          saved = { state: await wrapper.stateDict(), model: model.save() };
          break;
        case "load":
          if (saved === undefined) break;
          wrapper.prepareLoad(saved.state).commit();
          // A state holds no parameters: these stay as they are.
          model.load({ ...saved.model, parameters: model.contents.parameters });
          break;
        case "move": {
          const state = await wrapper.stateDict();
          const values = await wrapper.optimizer.readParameters();
          trained.dispose();
          home = 1 - home;
          if (made.precision !== undefined) {
            ({ precision } = made);
            model.changePrecision(precision);
            // A state of another precision is a move's, not a load's.
            saved = undefined;
          }
          trained = make(homes[home] as AnyFactory, { ...given, precision }, values);
          trained.wrapper.accumulativeCounts = model.accumulativeCounts;
          trained.wrapper.prepareLoad(state).commit();
          break;
        }
      }
      trained.update();
      const { innerCount } = trained.wrapper;
      if (outcomes[0] !== outcomes[1]) return `${at}: expected ${outcomes[1]}, got ${outcomes[0]}`;
      if (innerCount !== model.contents.innerCount)
        return `${at}: innerCount expected ${model.contents.innerCount}, got ${innerCount}`;
      if (trained.wrapper.shouldUpdate() !== model.isBoundary)
        return `${at}: shouldUpdate is ${!model.isBoundary}`;
    }
    return await differenceAtTheEnd(trained.wrapper, model);
  } finally {
    trained.dispose();
  }
}

function outcomeOf(run: () => unknown): Outcome {
  try {
    const result = run() as { readonly updated?: boolean } | undefined;
    return result?.updated === true ? "updated" : "not updated";
  } catch (error) {
    return isOptimError(error) ? `refused: ${error.code}` : "threw";
  }
}

/** float32 rounds a few dozen times by 6e-8; a micro-batch that is lost or counted twice is off by a hundredth at least. */
const close = (received: number, expected: number): boolean =>
  Object.is(received, expected) || Math.abs(received - expected) <= 1e-4 + 1e-5 * Math.abs(expected);

async function differenceAtTheEnd(
  wrapper: Trained["wrapper"],
  { contents }: WrapperModel,
): Promise<string | undefined> {
  const parameters = await wrapper.optimizer.readParameters();
  for (const [name, expected] of Object.entries(contents.parameters)) {
    for (const [index, value] of expected.entries()) {
      const received = parameters[name]?.[index] ?? 0;
      if (!close(received, value)) return `at the end: ${name}[${index}] expected ${value}, got ${received}`;
    }
  }
  const { params } = (await wrapper.stateDict()).optimizer;
  for (const { name, step } of params) {
    if (step !== (contents.taken[name] ?? 0))
      return `at the end: steps of ${name} expected ${contents.taken[name] ?? 0}, got ${step}`;
  }
  const metrics = await wrapper.readMetrics();
  for (const key of ["steps", "skipped", "lossScale"] as const) {
    if (metrics[key] !== contents[key])
      return `at the end: ${key} expected ${contents[key]}, got ${metrics[key]}`;
  }
  return undefined;
}
