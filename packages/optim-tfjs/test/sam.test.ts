import {
  type BaseHyperparameters,
  type AnyOptimWrapper,
  createOptimWrapper,
  type Optimizer,
  type OptimWrapperOptions,
  type ParametersInput,
  type ParamGroupInput,
  type SlotOptions,
} from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import {
  type GradientClosure,
  linearClosure,
  type LossClosure,
  type OptimizerFactory,
  referenceFactory,
  referenceOptimizer,
  type TestFunction,
  testOptimizer,
} from "@mm/optim-conformance";
import { sam, samAscent, type SamAscentHyperparameters, sgd } from "@mm/optim-rules";
import { type WasmLoss, wasmOptimizer } from "@mm/optim-wasm";
import { type TfjsLoss, tfjsOptimizer, type TfjsOptimizerOptions } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { paths, use } from "./backends.ts";
import { tfjsFactory } from "./factory.ts";

const start = { w: [1.5, -0.25, 0.5, -1.25], b: [0.75] };
const [lr, momentum, rho] = [0.02, 0.9, 0.3];

/** L(w, b) = ¼Σ(wᵢ² − 1)² + ½(Σwᵢ − b − t)²: two minima for each wᵢ, tied together by b. One t for each micro-batch. */
const targets = Array.from({ length: 24 }, (_, index) => Math.sin(index));

/** Its gradient, in float64. */
function gradient(w: readonly number[], b: number, t: number): { readonly w: number[]; readonly b: number } {
  const error = w.reduce((sum, x) => sum + x, 0) - b - t;
  return { w: w.map((x) => (x * x - 1) * x + error), b: -error };
}

/**
 * SAM around SGD with momentum, in float64, from the paper's algorithm; `window` micro-batches a step, clipped to `maxNorm`. Adaptive is ASAM:
 * θ²g over ‖θg‖ for g over ‖g‖.
 */
function trainedInFloat64(
  window: number,
  maxNorm: number,
  adaptive: boolean,
): { readonly w: number[]; readonly b: number[] } {
  let { w } = start;
  let b = start.b[0] as number;
  const sum = { w: w.map(() => 0), b: 0 };
  const velocity = { w: w.map(() => 0), b: 0 };
  for (const [index, t] of targets.entries()) {
    const up = gradient(w, b, t);
    const [before, unit] = [{ w, b }, (x: number): number => (adaptive ? x : 1)];
    const climb = rho / Math.hypot(...up.w.map((x, i) => unit(before.w[i] as number) * x), unit(b) * up.b);
    const g = gradient(
      w.map((x, i) => x + climb * unit(x) ** 2 * (up.w[i] as number)),
      b + climb * unit(b) ** 2 * up.b,
      t,
    );
    sum.w = sum.w.map((x, i) => x + (g.w[i] as number) / window);
    sum.b += g.b / window;
    if ((index + 1) % window !== 0) continue;
    const clip = Math.min(1, maxNorm / (Math.hypot(...sum.w, sum.b) + 1e-6));
    velocity.w = velocity.w.map((v, i) => momentum * v + clip * (sum.w[i] as number));
    velocity.b = momentum * velocity.b + clip * sum.b;
    w = w.map((x, i) => x - lr * (velocity.w[i] as number));
    b -= lr * velocity.b;
    sum.w.fill(0);
    sum.b = 0;
  }
  return { w, b: [b] };
}

type Make<Loss> = <H extends BaseHyperparameters>(rule: UpdateRule<H>) => Optimizer<Loss, unknown, H>;

interface Subject<Loss> {
  readonly optimizer: Optimizer<Loss, unknown>;
  readonly loss: (t: number) => Loss;
}

const decorated = <Loss>(make: Make<Loss>, adaptive: boolean): Optimizer<Loss, unknown> =>
  sam(make(sgd({ lr, momentum })), make(samAscent({ rho, adaptive })));

/** For backends whose closures write gradients into arrays. */
type ArrayPass = { readonly grad: (name: "w" | "b") => Float32Array; readonly scale: number };
function arrayLoss({ w, b }: { readonly w: Float32Array; readonly b: Float32Array }) {
  return (t: number) =>
    ({ grad, scale }: ArrayPass): number => {
      const error = w.reduce((sum, x) => sum + x, 0) - (b[0] as number) - t;
      for (const [i, x] of w.entries()) grad("w")[i] = scale * ((x * x - 1) * x + error);
      grad("b")[0] = -scale * error;
      return w.reduce((sum, x) => sum + 0.25 * (x * x - 1) ** 2, 0.5 * error ** 2);
    };
}

const arrays = () => ({ w: Float32Array.from(start.w), b: Float32Array.from(start.b) });

function tfjsSubject(options: TfjsOptimizerOptions, adaptive = false): Subject<TfjsLoss> {
  const variables = { w: tf.variable(tf.tensor1d(start.w)), b: tf.variable(tf.tensor1d(start.b)) };
  return {
    optimizer: decorated((rule) => tfjsOptimizer(rule, variables, options), adaptive),
    loss: (t) => () => {
      const error = tf.sub(tf.sub(tf.sum(variables.w), tf.sum(variables.b)), t);
      const wells = tf.sum(tf.square(tf.sub(tf.square(variables.w), 1)));
      return tf.add<tf.Scalar>(tf.mul(wells, 0.25), tf.mul(tf.square(error), 0.5));
    },
  };
}

/** One training on one backend: what it does with a closure is nobody else's business. */
interface Run {
  readonly optimizer: Optimizer<never, unknown>;
  readonly wrapper: AnyOptimWrapper;
  /** An update with the loss of this target. */
  readonly update: (t: number) => void;
}

function runOf<Loss>({ optimizer, loss }: Subject<Loss>, options: OptimWrapperOptions): Run {
  const wrapper = createOptimWrapper(optimizer, options);
  return { optimizer, wrapper, update: (t) => wrapper.updateParams(loss(t)) };
}

const subjects: readonly (readonly [
  name: string,
  start: (options: OptimWrapperOptions, adaptive?: boolean) => Promise<Run> | Run,
])[] = [
  [
    "reference",
    (options, adaptive = false) => {
      const parameters = arrays();
      const optimizer = decorated<GradientClosure>((rule) => referenceOptimizer(rule, parameters), adaptive);
      return runOf({ optimizer, loss: arrayLoss(parameters) }, options);
    },
  ],
  [
    "wasm",
    (options, adaptive = false) => {
      const parameters = arrays();
      const optimizer = decorated<WasmLoss<"w" | "b">>((rule) => wasmOptimizer(rule, parameters), adaptive);
      return runOf({ optimizer, loss: arrayLoss(parameters) }, options);
    },
  ],
  ...paths.map(
    (path) =>
      [
        path.name,
        async (options: OptimWrapperOptions, adaptive = false) => {
          await use(path);
          return runOf(tfjsSubject(path.options, adaptive), options);
        },
      ] as const,
  ),
];

describe.each(subjects)("sam on %s", (_, begin) => {
  test.each([
    ["alone", {}, 1, Infinity, false],
    ["in windows", { accumulativeCounts: 3 }, 3, Infinity, false],
    ["clipped", { accumulativeCounts: 2, clipGrad: { maxNorm: 0.7 } }, 2, 0.7, false],
    [
      "with a loss scale, which ρ does not see",
      { accumulativeCounts: 2, lossScale: 4096 },
      2,
      Infinity,
      false,
    ],
    [
      "adaptive, with all of these",
      { accumulativeCounts: 2, lossScale: 4096, clipGrad: { maxNorm: 0.7 } },
      2,
      0.7,
      true,
    ],
  ] as const)(
    "follows the paper's algorithm in float64: %s",
    async (_, options, window, maxNorm, adaptive) => {
      const expected = trainedInFloat64(window, maxNorm, adaptive);
      const { optimizer, wrapper, update } = await begin(options, adaptive);
      for (const t of targets) update(t);
      const received = await optimizer.readParameters();
      wrapper.dispose();
      // 24 passes of float32 (a rounding is 6e-8 of the parameters' 1.5) against float64; SGD without SAM ends 0.02 and more away.
      for (const [name, values] of Object.entries(expected) as ["w" | "b", number[]][]) {
        for (const [i, value] of values.entries())
          expect(Math.abs((received[name]?.[i] as number) - value)).toBeLessThan(5e-6);
      }
    },
  );

  test("an overflow of the loss scale skips the step, backs off, and leaves parameters to the bit", async () => {
    // Gradients are of order 1: 2¹²⁸ overflows, 2¹²⁷ × ½ does not.
    const { optimizer, wrapper, update } = await begin({
      lossScale: { initScale: 2 ** 127, backoffFactor: 2 ** -20 },
    });
    const before = await optimizer.readParameters();
    update(3);
    expect(await optimizer.readParameters()).toEqual(before);
    expect(await wrapper.readMetrics()).toMatchObject({ steps: 0, skipped: 1, lossScale: 2 ** 107 });
    update(3);
    expect(await wrapper.readMetrics()).toMatchObject({ steps: 1, skipped: 1 });
    const { w } = await optimizer.readParameters();
    // The first step of a run: no momentum yet.
    const [x] = start.w as [number, ...number[]];
    const up = gradient(start.w, start.b[0] as number, 3);
    const climb = rho / Math.hypot(...up.w, up.b);
    const g = gradient(
      start.w.map((x, i) => x + climb * (up.w[i] as number)),
      (start.b[0] as number) + climb * up.b,
      3,
    );
    expect(w?.[0]).toBeCloseTo(x - lr * (g.w[0] as number), 5);
    wrapper.dispose();
  });
});

describe.each(paths)("sam on $name", (path) => {
  test("returns the loss of the first pass, and leaks no tensor", async () => {
    await use(path);
    const { optimizer, loss } = tfjsSubject(path.options);
    const wrapper = createOptimWrapper(optimizer);
    const at = tf.tidy(() => loss(0)().dataSync()[0]);
    const first = wrapper.updateParams(loss(0), { returnLoss: true }).loss as tf.Scalar;
    expect(first.dataSync()[0]).toBe(at);
    first.dispose();
    const settled = tf.memory().numTensors;
    for (let step = 0; step < 3; step += 1) {
      wrapper.updateParams(loss(step));
      (wrapper.updateParams(loss(step), { returnLoss: true }).loss as tf.Scalar).dispose();
      let pass = 0;
      const failing = (): tf.Scalar => {
        pass += 1;
        const value = loss(step)();
        if (pass === 2) throw new Error("at the perturbed point");
        return value;
      };
      expect(() => wrapper.updateParams(failing, { returnLoss: true })).toThrow("at the perturbed point");
    }
    expect(tf.memory().numTensors).toBe(settled);
  });
});

function isGroups<P, H extends BaseHyperparameters>(
  parameters: ParametersInput<P, H>,
): parameters is readonly ParamGroupInput<P, H>[] {
  return Array.isArray(parameters);
}

const runner: TestFunction = test;
/** The kernels of the base, which SAM does not touch: conformance.test.ts of each backend proves them, and the reference here. */
const ofKernels = /: (norms|operations|rules|edges): /;
/** All of the kit but the one test that says how SAM differs: it runs the closure twice, as tested above. */
const testButRuns: TestFunction = (title, run) => {
  if (title.endsWith("the closure runs once per backward")) return;
  if (ofKernels.test(title) && !title.startsWith("sam over reference")) return;
  runner(title, run);
};

/** The kit over a backend's optimizers, decorated. */
function testDecorated<P, Loss extends LossClosure, LossValue>(
  plain: OptimizerFactory<P, Loss, LossValue>,
): void {
  testOptimizer({
    test: testButRuns,
    // The kit counts the test that is left out here; every test that runs is listed by the runner.
    print: () => {},
    factory: {
      ...plain,
      name: `sam over ${plain.name}`,
      createOptimizer<H extends BaseHyperparameters>(
        rule: UpdateRule<H>,
        parameters: ParametersInput<P, H>,
        slots?: SlotOptions,
      ) {
        const base = plain.createOptimizer(rule, parameters, slots);
        // The base's hyperparameters are not the ascent's.
        const bare: ParametersInput<P, SamAscentHyperparameters> = isGroups(parameters)
          ? parameters.map(({ params }) => ({ params }))
          : parameters;
        return sam(base, plain.createOptimizer(samAscent(), bare));
      },
    },
  });
}

// The kit's losses are linear: their gradient is the same at the perturbed point, so what holds of the base holds of SAM around it.
testDecorated(referenceFactory());
testDecorated({
  name: "wasm",
  tolerance: "exact",
  createParameter: (values) => values.slice(),
  createOptimizer: wasmOptimizer,
  linearLoss: (terms) => linearClosure(terms, (parameter) => parameter),
  readLoss: (value) => value,
  liveAllocations: () => 0,
});
for (const path of paths) testDecorated(await tfjsFactory(path));
