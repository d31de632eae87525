import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer, type TfjsOptimizerOptions } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import { irises } from "../../../optim-tfjs/test/iris.ts";
import { relativeDifference } from "../kernel/numbers.ts";
import { type CountedDevice, countDevice } from "../support/counted.ts";
import { useTfjs } from "../support/tfjs.ts";

let device: GPUDevice;
let counted: CountedDevice;
let data: ReturnType<typeof irises>;
beforeAll(async () => {
  device = await useTfjs();
  counted = countDevice(device);
  data = irises();
  // tfjs submits when it is flushed, and not in between.
  tf.env().set("WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE", 10_000);
});

const amp: OptimWrapperOptions = { lossScale: "dynamic", clipGrad: { maxNorm: 1 } };

interface Layers {
  readonly [name: string]: tf.Variable;
}

/** Two layers: 4 variables. */
function layers([inputs, hidden, outputs]: readonly [number, number, number], seed: number): Layers {
  const variable = (value: tf.Tensor): tf.Variable => tf.tidy(() => tf.variable(value));
  return tf.tidy(() => ({
    w1: variable(tf.randomNormal([inputs, hidden], 0, 0.5, "float32", seed)),
    b1: variable(tf.zeros([hidden])),
    w2: variable(tf.randomNormal([hidden, outputs], 0, 0.5, "float32", seed + 1)),
    b2: variable(tf.zeros([outputs])),
  }));
}

const forward = ({ w1, b1, w2, b2 }: Layers, x: tf.Tensor): tf.Tensor =>
  tf.add(tf.matMul(tf.tanh(tf.add(tf.matMul(x, w1!), b1!)), w2!), b2!);

const squaredError = (variables: Layers) => (): tf.Scalar =>
  tf.mean(tf.squaredDifference(forward(variables, data.x), data.y));

interface Counts {
  readonly [name: string]: number;
}

function counts(): Counts {
  const { dispatches, submits, copies, writeBuffer, mapAsync, createBuffer, createBindGroup } =
    counted.counts;
  return { dispatches, submits, copies, writeBuffer, mapAsync, createBuffer, createBindGroup };
}

/** The calls of tfjs on the device by itself, for a loss and its gradients; multiplied by a scalar, where it would be. */
function byTfjs(variables: Layers, loss: () => tf.Scalar, multiplied = true): Counts {
  const scalar = tf.tidy(() => tf.keep(tf.mean(data.x)));
  const backend = tf.backend() as unknown as { endComputePassEncoder(): void; submitQueue(): void };
  for (let i = 0; i < 4; i += 1) {
    counted.reset();
    const { value, grads } = tf.variableGrads(
      () => (multiplied ? tf.mul(loss(), scalar) : loss()),
      Object.values(variables),
    );
    backend.endComputePassEncoder();
    backend.submitQueue();
    tf.dispose([value, grads]);
  }
  scalar.dispose();
  return counts();
}

const beyond = (a: Counts, b: Counts): Counts =>
  Object.fromEntries(Object.entries(a).map(([name, count]) => [name, count - b[name]!]));

const nothing = { mapAsync: 0, createBuffer: 0, createBindGroup: 0 };

describe("with clipping and dynamic loss scaling, n = 4 variables", () => {
  test("an update: n copies, n + 2 dispatches, one write, and one submission beside tfjs's own", () => {
    const variables = layers([4, 8, 3], 1);
    const loss = squaredError(variables);
    const optim = createOptimWrapper(tfjsOptimizer(adam(), variables), amp);
    for (let i = 0; i < 4; i += 1) {
      counted.reset();
      optim.updateParams(loss);
    }
    const ours = counts();
    expect(ours["submits"]).toBe(2);
    expect(beyond(ours, byTfjs(variables, loss))).toEqual({
      copies: 4,
      dispatches: 4 + 2,
      submits: 1,
      writeBuffer: 1,
      ...nothing,
    });
    optim.dispose();
  });

  test("a window of 3: a backward inside it is n copies and at most one dispatch, the last n + 3", () => {
    const variables = layers([4, 8, 3], 1);
    const loss = squaredError(variables);
    const optim = createOptimWrapper(tfjsOptimizer(adam(), variables), { ...amp, accumulativeCounts: 3 });
    for (let i = 0; i < 6; i += 1) optim.updateParams(loss);
    const ours = [0, 1, 2].map(() => {
      counted.reset();
      optim.updateParams(loss);
      return counts();
    });
    const theirs = byTfjs(variables, loss);
    const each = { copies: 4, submits: 1, ...nothing };
    expect(ours.map((it) => beyond(it, theirs))).toEqual([
      // The first gradients of a window are copied to where they accumulate.
      { dispatches: 0, writeBuffer: 0, ...each },
      { dispatches: 1, writeBuffer: 0, ...each },
      { dispatches: 4 + 3, writeBuffer: 1, ...each },
    ]);
    optim.dispose();
  });
});

test("plainly: n copies, n dispatches, and the loss is not multiplied", () => {
  const variables = layers([4, 8, 3], 1);
  const loss = squaredError(variables);
  const optim = createOptimWrapper(tfjsOptimizer(adam(), variables));
  for (let i = 0; i < 4; i += 1) {
    counted.reset();
    optim.updateParams(loss);
  }
  expect(beyond(counts(), byTfjs(variables, loss, false))).toEqual({
    copies: 4,
    dispatches: 4,
    submits: 1,
    writeBuffer: 1,
    ...nothing,
  });
  optim.dispose();
});

/** A generator of irises and what tells them from real ones, trained in turn. */
async function trainGan(
  options: TfjsOptimizerOptions,
  steps: number,
  eachStep: () => void = () => {},
): Promise<readonly Float32Array[]> {
  const networks = { generator: layers([3, 8, 4], 5), discriminator: layers([4, 8, 1], 7) };
  const { generator, discriminator } = networks;
  const optim = new OptimWrapperDict({
    generator: createOptimWrapper(tfjsOptimizer(adam({ lr: 2e-3 }), generator, options), amp),
    discriminator: createOptimWrapper(tfjsOptimizer(adam({ lr: 2e-3 }), discriminator, options), amp),
  });
  const noise = tf.randomNormal([150, 3], 0, 1, "float32", 9);
  // log(1 + e^(∓score)): of real flowers and of others.
  const judged = (flowers: tf.Tensor, sign: number): tf.Scalar =>
    tf.mean(tf.softplus(tf.mul(forward(discriminator, flowers), sign)));
  for (let step = 0; step < steps; step += 1) {
    optim
      .get("discriminator")
      .updateParams(() => tf.add(judged(data.x, -1), judged(forward(generator, noise), 1)));
    optim.get("generator").updateParams(() => judged(forward(generator, noise), -1));
    eachStep();
  }
  const values = await Promise.all(
    Object.values(networks).flatMap((network) =>
      Object.values(network).map((weight) => weight.data<"float32">()),
    ),
  );
  optim.dispose();
  tf.dispose([networks.generator, networks.discriminator, noise]);
  return values;
}

/** Tells of every call of a method. */
function before<T extends object, A extends unknown[]>(
  object: T,
  name: keyof T,
  tell: (...args: A) => void,
): void {
  const own = object[name] as (...args: unknown[]) => unknown;
  Object.defineProperty(object, name, {
    configurable: true,
    value(...args: A) {
      tell(...args);
      return own.apply(object, args);
    },
  });
}

test("a GAN with two wrappers: gradients come in other buffers each time, and nothing of ours is made anew", async () => {
  const made: string[] = [];
  for (const name of ["createBuffer", "createBindGroup"] as const) {
    before(device, name, ({ label }: { readonly label?: string }) => {
      if (label?.startsWith("optim") === true) made.push(label);
    });
  }
  /** By where a gradient is copied to: where it came from. */
  const sources = new Map<string, Set<unknown>>();
  const { createCommandEncoder } = device;
  Object.defineProperty(device, "createCommandEncoder", {
    configurable: true,
    value(descriptor?: GPUCommandEncoderDescriptor) {
      const encoder = createCommandEncoder.call(device, descriptor);
      if (descriptor?.label !== "optim gradients") return encoder;
      before(encoder, "copyBufferToBuffer", (from: unknown, _: number, to: GPUBuffer, offset: number) => {
        const key = `${to.size} ${offset}`;
        sources.set(key, (sources.get(key) ?? new Set()).add(from));
      });
      return encoder;
    },
  });
  const perStep: number[] = [];
  const inPlace = await trainGan({}, 12, () => perStep.push(made.splice(0).length));
  expect(perStep[0]).toBeGreaterThan(0);
  expect(perStep.slice(3)).toEqual(perStep.slice(3).map(() => 0));
  expect(Math.max(...[...sources.values()].map(({ size }) => size))).toBeGreaterThan(1);

  const byOps = await trainGan({ lowering: "ops" }, 12);
  // 12 steps of Adam each: it divides by the root of the second moment, and where gradients are near 0 their last bits count.
  for (const [index, weights] of inPlace.entries())
    expect(relativeDifference(weights, byOps[index]!, 1e-4)).toBeLessThanOrEqual(1e-3);
});
