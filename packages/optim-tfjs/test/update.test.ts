import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { adam, adamax, adamw, lamb, lion, nadam, radam, rprop, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { type ExecutionPath, linearLoss, paths, use } from "./backends.ts";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";
import { distance, ordinaryArray, randomNumbers } from "../../../test-support/numbers.ts";

// Lengths with a scalar, a tail after blocks of four, and more than one block of the reference.
const shapes = { scalar: [], tail: [3, 3], long: [700] } as const;

interface Run {
  readonly parameters: { readonly [name: string]: Float32Array };
  readonly state: unknown;
}

/** The same steps with the same gradients on a path of tfjs and on the reference. */
async function run(
  path: ExecutionPath,
  rule: UpdateRule,
  options: OptimWrapperOptions,
  steps: number,
): Promise<[Run, Run]> {
  await use(path);
  const random = randomNumbers(7);
  const initial = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      ordinaryArray(random, tf.util.sizeFromShape([...shape])),
    ]),
  );
  const variables = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      tf.variable(tf.tensor(initial[name]!.slice(), [...shape])),
    ]),
  );
  const arrays = Object.fromEntries(Object.entries(initial).map(([name, data]) => [name, data.slice()]));
  const ours = createOptimWrapper(tfjsOptimizer(rule, variables, path.options), options);
  const reference = createOptimWrapper(arrayOptimizer(rule, arrays), options);
  for (let step = 0; step < steps; step += 1) {
    // One parameter misses every third gradient, so that step counts differ.
    const present = Object.keys(shapes).filter((name) => name !== "tail" || step % 3 !== 1);
    const gradients = Object.fromEntries(
      present.map((name) => [name, ordinaryArray(random, initial[name]!.length)]),
    );
    ours.updateParams(linearLoss(variables, gradients));
    reference.updateParams(() => gradients);
  }
  const results: [Run, Run] = [
    { parameters: await ours.optimizer.readParameters(), state: await ours.stateDict() },
    {
      parameters: await reference.optimizer.readParameters(),
      state: withShapes(await reference.stateDict()),
    },
  ];
  ours.dispose();
  for (const variable of Object.values(variables)) variable.dispose();
  return results;
}

/** The reference knows no shapes. */
function withShapes(state: Awaited<ReturnType<ReturnType<typeof createOptimWrapper>["stateDict"]>>): unknown {
  const params = state.optimizer.params.map((entry) => ({
    ...entry,
    shape: [...shapes[entry.name as keyof typeof shapes]],
  }));
  return { ...state, optimizer: { ...state.optimizer, params } };
}

const rules: readonly (readonly [string, UpdateRule])[] = [
  ["SGD", sgd({ lr: 0.1 })],
  [
    "SGD with Nesterov momentum and decay",
    sgd({ lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }),
  ],
  ["Adam", adam({ lr: 0.01 })],
  ["Adam, amsgrad", adam({ lr: 0.01, amsgrad: true })],
  ["AdamW, maximizing", adamw({ lr: 0.01, maximize: true })],
  // Scalar slots, max, sign with selections, norms, and a rectifier from bias corrections.
  ["NAdam", nadam({ lr: 0.01 })],
  ["Adamax", adamax({ lr: 0.01 })],
  ["Lion", lion({ lr: 0.01 })],
  ["Rprop", rprop({ lr: 0.01 })],
  ["LAMB", lamb({ lr: 0.01 })],
  ["RAdam", radam({ lr: 0.01 })],
];

const settings: readonly (readonly [string, OptimWrapperOptions])[] = [
  ["plain", {}],
  ["windows of 3", { accumulativeCounts: 3 }],
  ["clipped by norm", { clipGrad: { maxNorm: 1 } }],
  ["clipped by the largest element", { clipGrad: { maxNorm: 0.1, normType: Number.POSITIVE_INFINITY } }],
  ["clipped by value", { clipGrad: { type: "value", clipValue: 0.3 } }],
];

describe.each(paths.filter(({ inPlace }) => inPlace))("$name: equal to the reference to the bit", (path) => {
  test.each(rules)("%s", async (_, rule) => {
    const [ours, reference] = await run(path, rule, {}, 12);
    expect(ours).toEqual(reference);
  });
  test.each(settings)("Adam, %s", async (_, options) => {
    const [ours, reference] = await run(path, adam({ lr: 0.01 }), options, 12);
    expect(ours).toEqual(reference);
  });
  test("Adam, with a loss scale", async () => {
    // Powers of two scale without rounding.
    const [ours, reference] = await run(path, adam({ lr: 0.01 }), { lossScale: { growthInterval: 4 } }, 12);
    expect(ours).toEqual(reference);
  });
});

describe.each(paths.filter(({ inPlace }) => !inPlace))("$name: as the reference", (path) => {
  // Every op rounds to float32 in the reference's order, and scalars come from the host: the same bits, too.
  test.each(rules.filter(([name]) => name !== "LAMB"))("%s", async (_, rule) => {
    const [ours, reference] = await run(path, rule, {}, 12);
    expect(ours).toEqual(reference);
  });
  // A norm is a float32 sum here and a float64 sum in the reference: about 1e-7 per step, relative to the parameter.
  test.each([
    ["LAMB", lamb({ lr: 0.01 }), {}],
    ...settings.map(([name, options]) => [`Adam, ${name}`, adam({ lr: 0.01 }), options] as const),
  ] as const)("%s", async (_, rule, options) => {
    const [ours, reference] = await run(path, rule, options, 12);
    for (const [name, expected] of Object.entries(reference.parameters)) {
      expect(distance(ours.parameters[name]!, expected)).toBeLessThanOrEqual(2e-6);
    }
  });
});
