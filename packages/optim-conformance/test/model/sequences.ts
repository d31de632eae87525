import {
  createOptimWrapper,
  isOptimError,
  type LossScaler,
  type OptimWrapper,
  type OptimWrapperOptions,
  type OptimWrapperStateDict,
  type PreparedLoad,
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
/** A group that comes later, with its own learning rate. */
const late = { name: "late", initial: [2], lr: 0.25 } as const;
const names = ["a", "b", late.name] as const;

/** One call, as plain data: a sequence that fails can be read, made smaller, and written down as a test. */
type Call =
  | {
      readonly call: "updateParams";
      readonly closure: Closure;
      readonly weight: number;
      readonly returnLoss: boolean;
    }
  | {
      readonly call: "backward";
      readonly closure: Closure;
      readonly scale: number;
      readonly returnLoss: boolean;
    }
  | { readonly call: "step"; readonly rescale: number }
  | {
      readonly call:
        "skip" | "flush" | "zeroGrad" | "save" | "load" | "prepare" | "commit" | "cancel" | "addParamGroup";
    }
  | { readonly call: "initializeCountStatus"; readonly initCounts?: number; readonly maxCounts?: number }
  | { readonly call: "move"; readonly precision: Precision | undefined }
  | { readonly call: "accumulativeCounts"; readonly counts: number }
  | { readonly call: "lr"; readonly lr: number }
  | { readonly call: "freeze" | "unfreeze"; readonly names: readonly string[] };

const gradientOf = (length: number): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: -4, max: 4 }), { minLength: length, maxLength: length });
const finite: fc.Arbitrary<Gradients> = fc
  .record({
    a: gradientOf(2),
    b: gradientOf(3),
    late: gradientOf(1),
    which: fc.constantFrom("a", "b", "both", "both"),
    withLate: fc.boolean(),
  })
  .map(({ which, withLate, ...all }) => ({
    ...(which !== "b" && { a: all.a }),
    ...(which !== "a" && { b: all.b }),
    ...(withLate && { late: all.late }),
  }));
const closure: fc.Arbitrary<Closure> = fc.oneof(
  { weight: 12, arbitrary: finite },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY)
      .map((value): Closure => ({ a: [1, value] })),
  },
  { weight: 1, arbitrary: fc.constant<Closure>("throws") },
  { weight: 1, arbitrary: fc.constant<Closure>("reentrant") },
);
const someNames = fc.constantFrom<readonly string[]>(["a"], ["b"], ["a", "b"]);
const returnLoss = fc.boolean();

const precision = fc.constantFrom<Precision>(
  "propagate",
  "skip",
  "zero",
  "throw",
  "static",
  "dynamic",
  "shared",
);

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
      returnLoss,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      call: fc.constant("backward" as const),
      closure,
      scale: fc.constantFrom(1, 0.5, 2),
      returnLoss,
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
    weight: 3,
    arbitrary: fc.record({ call: fc.constantFrom("prepare", "commit", "cancel", "addParamGroup") }),
  },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        call: fc.constant("initializeCountStatus" as const),
        initCounts: fc.integer({ min: 0, max: 5 }),
        maxCounts: fc.integer({ min: 1, max: 12 }),
      },
      { requiredKeys: ["call"] },
    ),
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
    clip: fc.option(
      fc.constantFrom<NonNullable<ModelOptions["clip"]>>(
        { maxNorm: 1 },
        { maxNorm: 100 },
        { maxNorm: 1, errorIfNonfinite: true },
        { clipValue: 0.5 },
      ),
      { nil: undefined, freq: 2 },
    ),
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
  const probe = make(
    homes[0],
    { accumulativeCounts: 1, maxCounts: undefined, precision: "skip", clip: undefined },
    {},
  );
  const { decides } = probe.wrapper.optimizer.capabilities;
  probe.dispose();
  const property = fc.asyncProperty(sequences, async (sequence) => {
    const found = await difference(homes, decides === "host" ? sequence : asDevicesDecide(sequence));
    if (found !== undefined) throw new Error(found);
  });
  const details = await fc.check(property, { numRuns: Number(runs), seed: Number(seed) });
  if (!details.failed) return undefined;
  return `${fc.defaultReportMessage(details)}\n${String(details.errorInstance)}`;
}

/** Where a device decides, an error comes with the next read, and says nothing of the call: there such steps are skipped or propagate. */
function asDevicesDecide({ options, calls }: Sequence): Sequence {
  const { clip } = options;
  const allowed = <T extends Precision | undefined>(wanted: T): T | "skip" =>
    wanted === "throw" ? "skip" : wanted;
  return {
    options: {
      ...options,
      precision: allowed(options.precision),
      clip: clip && "maxNorm" in clip ? { maxNorm: clip.maxNorm } : clip,
    },
    calls: calls.map((made) =>
      made.call === "move" ? { ...made, precision: allowed(made.precision) } : made,
    ),
  };
}

/** A wrapper on one backend, with its parameters. */
interface Trained {
  readonly wrapper: OptimWrapper<LossClosure, unknown>;
  /** Adds the group that comes later. */
  readonly addLate: () => void;
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
  const create = (initial: ArrayLike<number>): unknown =>
    factory.createParameter(Float32Array.from(initial), [initial.length]);
  const parameters: Record<string, unknown> = Object.fromEntries(
    Object.entries({ a: [0], b: [0], ...values }).map(([name, initial]) => [name, create(initial)]),
  );
  const { [late.name]: own, ...others } = parameters;
  const lateGroup = { name: late.name, params: { [late.name]: own }, lr: late.lr };
  const groups = own === undefined ? [{ params: others }] : [{ params: others }, lateGroup];
  const optimizer = factory.createOptimizer(sgd({ lr: 0.5, momentum }), groups);
  const dynamic = { initScale: initialLossScale, growthInterval };
  const shared: LossScaler | undefined =
    precision === "shared" ? optimizer.createLossScaler(dynamic) : undefined;
  const scales = { static: initialLossScale, dynamic, shared };
  const written: OptimWrapperOptions = {
    accumulativeCounts,
    ...(precision in scales
      ? { lossScale: scales[precision as keyof typeof scales] }
      : { onNonFinite: precision as "propagate" | "skip" | "zero" | "throw" }),
    ...(clip && {
      clipGrad:
        "clipValue" in clip
          ? { type: "value", ...clip }
          : // Beside anything else it would say a second time what becomes of such a step.
            precision === "propagate"
            ? clip
            : { maxNorm: clip.maxNorm },
    }),
  };
  const wrapper = createOptimWrapper(optimizer, written);
  if (maxCounts !== undefined) wrapper.initializeCountStatus({ maxCounts });
  return {
    wrapper,
    addLate() {
      const parameter = create(late.initial);
      try {
        wrapper.addParamGroup({ name: late.name, params: { [late.name]: parameter }, lr: late.lr });
        parameters[late.name] = parameter;
      } catch (error) {
        factory.disposeParameter?.(parameter);
        throw error;
      }
    },
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
  let saved: Saved | undefined;
  let staged: { readonly load: PreparedLoad; readonly saved: Saved } | undefined;
  try {
    for (const [index, made] of calls.entries()) {
      const at = `calls[${index}], ${made.call}`;
      const { wrapper } = trained;
      const outcomes: [received: Outcome | undefined, expected: Outcome | undefined] = [undefined, undefined];
      switch (made.call) {
        case "updateParams":
        case "backward": {
          const { returnLoss } = made;
          const closure = present(made.closure, model);
          const expected = typeof closure === "string" ? Number.NaN : model.lossOf(closure);
          let loss: unknown;
          outcomes[0] = outcomeOf(() => {
            const result =
              made.call === "backward"
                ? wrapper.backward(trained.loss(closure), { scale: made.scale, returnLoss })
                : wrapper.updateParams(trained.loss(closure), { weight: made.weight, returnLoss });
            ({ loss } = result);
            return result;
          });
          outcomes[1] =
            made.call === "backward"
              ? model.backward(closure, made.scale, returnLoss)
              : model.updateParams(closure, made.weight, returnLoss);
          const value = await lossValue(homes[home] as AnyFactory, loss);
          if (value !== undefined && Number.isFinite(expected) && !close(value, expected))
            return `${at}: loss expected ${expected}, got ${value}`;
          break;
        }
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
          wrapper.paramGroups[0].lr = made.lr;
          Object.assign(model.contents.lr, { a: made.lr, b: made.lr });
          break;
        case "addParamGroup":
          if (late.name in model.contents.parameters) break;
          outcomes[0] = outcomeOf(() => trained.addLate());
          outcomes[1] = staged === undefined ? "not updated" : "refused: load-pending";
          if (staged === undefined) model.add(late.name, late.initial, late.lr);
          break;
        case "initializeCountStatus": {
          const { call: _, ...status } = made;
          outcomes[0] = outcomeOf(() => wrapper.initializeCountStatus(status));
          outcomes[1] = model.announce(made.initCounts, made.maxCounts);
          break;
        }
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
        case "prepare":
        case "load": {
          if (saved === undefined) break;
          const { state } = saved;
          let load: PreparedLoad | undefined;
          outcomes[0] = outcomeOf(() => {
            load = wrapper.prepareLoad(state);
          });
          if (staged !== undefined) outcomes[1] = "refused: load-pending";
          else outcomes[1] = model.fits(saved.model) ? "not updated" : "refused: state-mismatch";
          if (load === undefined) break;
          staged = { load, saved };
          if (made.call === "prepare") break;
          staged = commit(staged, model);
          break;
        }
        // What was trained since the load was prepared is overwritten.
        case "commit":
          staged = staged && commit(staged, model);
          break;
        case "cancel":
          staged?.load.dispose();
          staged = undefined;
          break;
        case "move": {
          const state = await wrapper.stateDict();
          const values = await wrapper.optimizer.readParameters();
          staged?.load.dispose();
          staged = undefined;
          trained.dispose();
          home = 1 - home;
          if (made.precision !== undefined) {
            ({ precision } = made);
            model.changePrecision(precision);
            // A state of another precision is a move's, not a load's.
            saved = undefined;
          }
          trained = make(
            homes[home] as AnyFactory,
            { ...given, precision, maxCounts: model.announced },
            values,
          );
          trained.wrapper.accumulativeCounts = model.accumulativeCounts;
          trained.wrapper.prepareLoad(state).commit();
          model.moved();
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

interface Saved {
  readonly state: OptimWrapperStateDict;
  readonly model: ReturnType<WrapperModel["save"]>;
}

function commit(
  staged: { readonly load: PreparedLoad; readonly saved: Saved },
  model: WrapperModel,
): undefined {
  staged.load.commit();
  model.load(staged.saved.model);
}

/** A closure without the gradients of parameters that are not there yet. */
function present(closure: Closure, { contents }: WrapperModel): Closure {
  if (typeof closure === "string") return closure;
  return Object.fromEntries(Object.entries(closure).filter(([name]) => name in contents.parameters));
}

/** `undefined` where there is none. Frees it. */
async function lossValue(factory: AnyFactory, loss: unknown): Promise<number | undefined> {
  if (loss === undefined) return undefined;
  const value = await factory.readLoss(loss);
  (loss as Partial<{ dispose(): void }>).dispose?.();
  return value;
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
