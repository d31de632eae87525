import { createOptimWrapper, type HyperparameterValue, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import * as rules from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { linearLoss, paths, use } from "./backends.ts";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";
import { ordinaryArray, randomNumbers } from "../../../test-support/numbers.ts";

type Factory = (hyperparameters?: { readonly [name: string]: HyperparameterValue }) => UpdateRule;

/** Every exported factory of a rule: its one argument has a default. Combinators, whose rule has none, are {@link combined}. */
const factories = Object.entries(rules).flatMap(([name, factory]) =>
  factory.length > 0
    ? []
    : [[name, factory as unknown as Factory, (factory as unknown as Factory)().hyperparameters] as const],
);

/** Numbers at the edge of what a hyperparameter may be; the last is the largest float32 below 1. */
const edges = [0, 1, 1 - 2 ** -24];

/** The values of one hyperparameter at its edges, one element of a tuple at a time and all at once. */
function edgeValues(value: HyperparameterValue): readonly HyperparameterValue[] {
  if (typeof value === "boolean") return [!value];
  if (typeof value === "number") return edges;
  const single = value.flatMap((_, at) =>
    edges.map((edge) => value.map((old, i) => (i === at ? edge : old))),
  );
  return [...single, ...edges.map((edge) => value.map(() => edge))];
}

/** The rule at each edge that it accepts. */
const cases = factories.flatMap(([name, make, defaults]) =>
  Object.entries(defaults).flatMap(([key, value]) =>
    edgeValues(value).flatMap((edge): [string, UpdateRule][] => {
      try {
        return [[`${name}, ${key} ${String(edge)}`, make({ lr: 0.01, [key]: edge })]];
      } catch {
        return [];
      }
    }),
  ),
);

const combined: readonly (readonly [string, UpdateRule])[] = [
  ["ema of adam, emaDecay 0, betas 0,0", rules.ema(rules.adam({ lr: 0.01, betas: [0, 0] }), { emaDecay: 0 })],
  [
    "lookahead of adam, betas 0,0.9",
    rules.lookahead(rules.adam({ lr: 0.01, betas: [0, 0.9] }), { syncPeriod: 1 }),
  ],
  ["cautious adam, betas 0,0", rules.cautious(rules.adam({ lr: 0.01, betas: [0, 0] }))],
];

const settings: readonly (readonly [string, OptimWrapperOptions])[] = [
  ["plain", {}],
  ["skipping", { onNonFinite: "skip" }],
  ["a static loss scale", { lossScale: 64 }],
  ["a dynamic loss scale", { lossScale: { initScale: 64, growthInterval: 2 } }],
];
const length = 9;

/** The shapes that a rule takes: a vector, a matrix or either. */
function shapesFor({ definition }: UpdateRule): readonly number[][] {
  const [vector, matrix] = [[length], [3, 3]];
  if (definition.shapes === undefined) return [vector];
  return definition.shapes === "matrix" ? [matrix] : [matrix, vector];
}

/** Five steps, of which the third is skipped where it can be. */
async function train(
  path: (typeof paths)[number],
  rule: UpdateRule,
  options: OptimWrapperOptions,
  shape: number[],
) {
  const random = randomNumbers(5);
  const initial = ordinaryArray(random, length);
  const w = tf.variable(tf.tensor(initial.slice(), shape));
  const ours = createOptimWrapper(tfjsOptimizer(rule, { w }, path.options), options);
  const groups = [{ params: { w: initial.slice() }, shapes: { w: shape } }];
  const reference = createOptimWrapper(arrayOptimizer(rule, groups, "last"), options);
  const skips = Object.keys(options).length > 0;
  for (let step = 0; step < 5; step += 1) {
    const gradient = ordinaryArray(random, length);
    if (skips && step === 2) gradient[4] = Number.NaN;
    ours.updateParams(linearLoss({ w }, { w: gradient }));
    reference.updateParams(() => ({ w: gradient }));
  }
  const result = {
    found: (await ours.optimizer.readParameters())["w"]!,
    expected: (await reference.optimizer.readParameters())["w"]!,
    metrics: await ours.readMetrics(),
    expectedMetrics: await reference.readMetrics(),
  };
  ours.dispose();
  w.dispose();
  return result;
}

describe.each(paths.filter(({ inPlace }) => !inPlace))("$name: hyperparameters at their edges", (path) => {
  test("the rules and their edges are all there", () => {
    expect(factories.map(([name]) => name)).toEqual(
      expect.arrayContaining(["adam", "lamb", "nadam", "radam", "rprop", "sgd"]),
    );
    expect(cases.map(([name]) => name)).toEqual(
      expect.arrayContaining(["adam, betas 0,0.999", "adam, amsgrad true", "sgd, maximize true"]),
    );
  });

  test.each(settings)("%s: as the reference", async (_, options) => {
    await use(path);
    const wrong: string[] = [];
    const shaped = [...cases, ...combined].flatMap(([name, rule]) =>
      shapesFor(rule).map((shape) => [`${name}, of ${shape.length} dimensions`, rule, shape] as const),
    );
    for (const [name, rule, shape] of shaped) {
      const { found, expected, metrics, expectedMetrics } = await train(path, rule, options, shape);
      expect({ name, steps: metrics.steps, skipped: metrics.skipped }).toEqual({
        name,
        steps: expectedMetrics.steps,
        skipped: expectedMetrics.skipped,
      });
      for (const [index, value] of expected.entries()) {
        if (Object.is(found[index], value)) continue;
        const error = Math.abs(found[index]! - value) / Math.max(1, Math.abs(value));
        // Scalars are float32 where the device counts: 3e-7 of each step.
        if (!(error <= 1e-5)) wrong.push(`${name}: [${index}] ${found[index]} for ${value}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
