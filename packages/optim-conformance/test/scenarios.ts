import {
  createOptimWrapper,
  type OptimWrapper,
  type OptimWrapperOptions,
  type ParamGroupInput,
} from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import {
  adagrad,
  adam,
  adamax,
  adamw,
  asgd,
  lamb,
  lion,
  nadam,
  novograd,
  radam,
  rmsprop,
  rprop,
  sgd,
} from "@mm/optim-rules";
import * as fc from "fast-check";
import { type LossClosure, type OptimizerFactory, referenceFactory, type Tolerance } from "../src/index.ts";
import { noise, repeatable } from "../src/kit/numbers.ts";

/** A training run of any kind, as plain data, so that a failure can be read and made smaller. */
interface Scenario {
  readonly rule: keyof typeof rules;
  /** Lengths of the parameters of each group. */
  readonly groups: readonly { readonly lr: number; readonly lengths: readonly number[] }[];
  readonly options: OptimWrapperOptions;
  readonly maxCounts: number | undefined;
  readonly batches: readonly Batch[];
}

interface Batch {
  readonly seed: number;
  /** Gradients are of the order of 2 to this power. */
  readonly exponent: number;
  /** Every how manyth parameter has no gradient; 0 for none. */
  readonly missing: number;
  /** A value in the middle of one parameter's gradient. */
  readonly special: { readonly parameter: number; readonly value: number } | undefined;
}

const rules = {
  sgd: sgd({ lr: 0.1 }),
  momentum: sgd({ lr: 0.1, momentum: 0.9, dampening: 0.2, weightDecay: 0.01 }),
  adam: adam({ lr: 0.05, weightDecay: 0.01 }),
  amsgrad: adamw({ lr: 0.05, amsgrad: true }),
  nadam: nadam({ lr: 0.05 }),
  radam: radam({ lr: 0.05, betas: [0.9, 0.9] }),
  adamax: adamax({ lr: 0.05 }),
  adagrad: adagrad({ lr: 0.05, lrDecay: 0.1 }),
  centered: rmsprop({ lr: 0.01, centered: true, momentum: 0.5, eps: 1e-3 }),
  rprop: rprop({ lr: 0.05 }),
  asgd: asgd({ lr: 0.05, t0: 2 }),
  lion: lion({ lr: 0.01, weightDecay: 0.1 }),
  lamb: lamb({ lr: 0.05 }),
  novograd: novograd({ lr: 0.05 }),
} satisfies Readonly<Record<string, UpdateRule>>;

/** Everything that float32 has to offer. */
const edges = [
  0,
  -0,
  2 ** -149,
  -(2 ** -126),
  1e-30,
  (2 - 2 ** -23) * 2 ** 127,
  -(2 ** 127),
  Number.NaN,
  Infinity,
  -Infinity,
] as const;

const length = fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 8, 13, 31, 64, 127, 513, 1025, 4099);

const clipGrad = fc.oneof(
  fc.record({ maxNorm: fc.constantFrom(0.1, 1, 1000), normType: fc.constantFrom(0.5, 1, 2, 3, 9, Infinity) }),
  fc.record({ type: fc.constant("value" as const), clipValue: fc.constantFrom(0.01, 1) }),
);

const precision: fc.Arbitrary<OptimWrapperOptions> = fc.oneof(
  fc.record({ onNonFinite: fc.constantFrom("propagate" as const, "skip" as const, "zero" as const) }),
  fc.record({ lossScale: fc.constantFrom(1, 1024, 2 ** 40) }),
  fc.record({
    lossScale: fc.record({
      initScale: fc.constantFrom(2, 65536, 3e38),
      growthInterval: fc.integer({ min: 1, max: 3 }),
      backoffFactor: fc.constantFrom(0.5, 0.3),
    }),
  }),
);

/**
 * Training runs. With `edges` gradients reach the ends of float32 and beyond; without, they are of an order at which rounding in another
 * order shows in the last digits only.
 */
function scenarios(withEdges: boolean): fc.Arbitrary<Scenario> {
  const special = fc.record({ parameter: fc.nat(8), value: fc.constantFrom(...edges) });
  return fc.record({
    rule: fc.constantFrom(...(Object.keys(rules) as (keyof typeof rules)[])),
    groups: fc.array(
      fc.record({
        lr: fc.constantFrom(0.01, 0.1),
        lengths: fc.array(length, { minLength: 1, maxLength: 3 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
    options: fc
      .tuple(precision, fc.integer({ min: 1, max: 4 }), fc.option(clipGrad, { nil: undefined }))
      .map(([options, accumulativeCounts, clip]) => ({
        ...options,
        accumulativeCounts,
        gradNorm: true,
        ...(clip && { clipGrad: clip }),
      })),
    maxCounts: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
    batches: fc.array(
      fc.record({
        seed: fc.nat(),
        exponent: withEdges ? fc.integer({ min: -149, max: 127 }) : fc.integer({ min: -6, max: 2 }),
        missing: fc.nat(3),
        special: fc.option(
          withEdges ? special : special.map(({ parameter }) => ({ parameter, value: Infinity })),
          {
            nil: undefined,
            freq: 3,
          },
        ),
      }),
      { minLength: 1, maxLength: 8 },
    ),
  });
}

/** The state of a run after every micro-batch, in the order of `at`. */
interface Trace {
  readonly at: string;
  readonly values: ArrayLike<number>;
}

/**
 * Looks for a training run in which a backend and the reference part, and tells the smallest that it finds: `undefined` for none. With
 * a seed it is always the same runs.
 */
export async function searchDifference<P, Loss extends LossClosure, LossValue>(
  factory: OptimizerFactory<P, Loss, LossValue>,
  { withEdges, ...search }: { readonly withEdges: boolean; readonly numRuns: number; readonly seed?: number },
): Promise<string | undefined> {
  const property = fc.asyncProperty(scenarios(withEdges), async (scenario) => {
    const found = await difference(factory, scenario);
    if (found !== undefined) throw new Error(found);
  });
  return fc.defaultReportMessage(await fc.check(property, search));
}

/**
 * Runs a scenario on a backend and on the reference, and says where they part first: `undefined` where they do not.
 */
async function difference<P, Loss extends LossClosure, LossValue>(
  factory: OptimizerFactory<P, Loss, LossValue>,
  scenario: Scenario,
): Promise<string | undefined> {
  const withState = factory.tolerance === "exact";
  const expected = await run(referenceFactory(), scenario, withState);
  const received = await run(factory, scenario, withState);
  for (const [index, { at, values }] of expected.entries()) {
    const ours = received[index] as Trace;
    for (let i = 0; i < values.length; i += 1) {
      const [a, b] = [ours.values[i] as number, values[i] as number];
      if (!agree(a, b, factory.tolerance ?? { absolute: 5e-6, relative: 1e-5 }))
        return `${at}[${i}]: expected ${b}, got ${a}`;
    }
  }
  return received.length === expected.length
    ? undefined
    : `${received.length} readings in place of ${expected.length}`;
}

/** To the bit: zeros have signs. */
function agree(a: number, b: number, tolerance: Tolerance | "exact"): boolean {
  if (Object.is(a, b)) return true;
  if (tolerance === "exact" || !Number.isFinite(b)) return false;
  return Math.abs(a - b) <= tolerance.absolute + tolerance.relative * Math.abs(b);
}

async function run<P, Loss extends LossClosure, LossValue>(
  factory: OptimizerFactory<P, Loss, LossValue>,
  { rule, groups, options, maxCounts, batches }: Scenario,
  withState: boolean,
): Promise<Trace[]> {
  const parameters: { readonly name: string; readonly parameter: P; readonly length: number }[] = [];
  const next = repeatable(groups.length);
  const written = groups.map(({ lr, lengths }) => ({
    lr,
    params: Object.fromEntries(
      lengths.map((length) => {
        const name = `p${parameters.length}`;
        const parameter = factory.createParameter(noise(next, length), [length]);
        parameters.push({ name, parameter, length });
        return [name, parameter];
      }),
    ),
  }));
  const wrapper = createOptimWrapper(
    factory.createOptimizer(
      rules[rule] as UpdateRule,
      written as readonly ParamGroupInput<P, { lr: number }>[],
    ),
    options,
  );
  if (maxCounts !== undefined) wrapper.initializeCountStatus({ maxCounts });
  const trace: Trace[] = [];
  for (const [index, { seed, exponent, missing, special }] of batches.slice(0, maxCounts).entries()) {
    const random = repeatable(seed);
    const terms = parameters.map(({ name, parameter, length }, position) => {
      const gradient = noise(random, length, 2 ** exponent);
      if (special?.parameter === position) gradient[length >> 1] = special.value;
      return { name, parameter, gradient };
    });
    // Each time other ones are missing, never the first: a loss of nothing is none.
    const present = terms.filter(
      (_, position) => position === 0 || missing === 0 || (position + index) % (missing + 1) !== 0,
    );
    wrapper.updateParams(factory.linearLoss(present));
    await read(trace, `after ${index + 1}`, wrapper);
  }
  wrapper.flush();
  await read(trace, "after flush", wrapper);
  const { optimizer } = await wrapper.stateDict();
  if (withState) {
    for (const { name, step, slots, scalarSlots } of optimizer.params) {
      trace.push({ at: `${name}.step`, values: [step] });
      for (const [slot, values] of Object.entries(slots)) trace.push({ at: `${name}.${slot}`, values });
      for (const [slot, value] of Object.entries(scalarSlots))
        trace.push({ at: `${name}.${slot}`, values: [value] });
    }
  }
  wrapper.dispose();
  for (const { parameter } of parameters) factory.disposeParameter?.(parameter);
  return trace;
}

async function read<Loss, LossValue>(
  trace: Trace[],
  at: string,
  wrapper: OptimWrapper<Loss, LossValue>,
): Promise<void> {
  for (const [name, values] of Object.entries(await wrapper.optimizer.readParameters())) {
    trace.push({ at: `${at}: ${name}`, values });
  }
  const read = await wrapper.readMetrics({ per: "parameter" });
  const { gradNorm = -1, gradNorms = {}, lossScale, steps, skipped } = read;
  trace.push({ at: `${at}: norm`, values: [gradNorm] });
  for (const [name, norm] of Object.entries(gradNorms))
    trace.push({ at: `${at}: norm of ${name}`, values: [norm] });
  trace.push({ at: `${at}: scale, steps, skipped`, values: [lossScale, steps, skipped] });
}
