import "@tensorflow/tfjs-layers"; // tfjs-core alone has no gradients
import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { createArena, webgpuOptimizer } from "@mm/optim-webgpu";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { type Effort, ratio, type Ratio, type Section } from "../measure.ts";
import type { Adapter } from "./adapters.ts";
import { onDevice } from "./on-device.ts";
import type { Size } from "./sizes.ts";

/** Submits what tfjs has recorded. */
export type Flush = () => void;

/** Makes tfjs-backend-webgpu, on this adapter's device, the active backend. Tensors of the one before are gone. */
export async function startTfjs({ device, info }: Adapter): Promise<Flush> {
  tf.enableProdMode();
  // It expects to find this in a browser.
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: { gpu: {} } });
  const { WebGPUBackend } = await import("@tensorflow/tfjs-backend-webgpu");
  const backend = new WebGPUBackend(device, info);
  tf.removeBackend("webgpu");
  tf.registerBackend("webgpu", () => backend);
  await tf.setBackend("webgpu");
  return () => {
    backend.ensureCommandEncoderReady();
    backend.endComputePassEncoder();
    backend.submitQueue();
  };
}

const careful: OptimWrapperOptions = { clipGrad: { maxNorm: 1 }, lossScale: "dynamic" };

/** Adam on tfjs variables, against `tf.train.adam` on the same; and on as many tensors in an arena. */
export async function adamOnVariables(
  adapter: Adapter,
  flush: Flush,
  { label, tensors, length }: Size,
  effort: Effort,
): Promise<Section> {
  const names = Array.from({ length: tensors }, (_, index) => `w${index}`);
  const gradient = tf.tensor1d(Float32Array.from({ length }, (_, index) => Math.sin(index)));
  const variables: tf.Variable[] = [];
  const make = (): Record<string, tf.Variable> => {
    const made = names.map(() => tf.tidy(() => tf.variable(tf.ones([length]))));
    variables.push(...made);
    return Object.fromEntries(names.map((name, index) => [name, made[index] as tf.Variable]));
  };
  // Costs nothing but the bookkeeping of a backward pass: the gradients are there already.
  const lossOf = (own: Record<string, tf.Variable>): (() => tf.Scalar) => {
    const withGradients = tf.customGrad(() => ({
      value: tf.scalar(0),
      gradFunc: () => names.map(() => tf.clone(gradient)),
    }));
    return () => withGradients(...Object.values(own));
  };
  const wrap = (options: OptimWrapperOptions) => {
    const own = make();
    const optim = createOptimWrapper(tfjsOptimizer(adam({ lr: 1e-3 }), own), options);
    const loss = lossOf(own);
    return {
      optim,
      updateParams() {
        optim.updateParams(loss);
      },
      // A step leaves the gradients where they are: one backward pass serves them all.
      step: () => {
        if (optim.innerCount === 0) optim.backward(loss);
        optim.step();
      },
    };
  };

  const native = { variables: make(), optimizer: tf.train.adam(1e-3) };
  const given = Object.values(native.variables).map(({ name }) => ({ name, tensor: gradient }));
  const nativeLoss = lossOf(native.variables);
  const stepped = { plain: wrap({}), careful: wrap(careful) };
  const updated = { plain: wrap({}), careful: wrap(careful) };
  const arena = createArena(adapter.device, Object.fromEntries(names.map((name) => [name, length])));
  const inArena = (options: OptimWrapperOptions) => {
    const optim = createOptimWrapper(
      webgpuOptimizer(adam({ lr: 1e-3 }), arena, { device: adapter.device }),
      options,
    );
    optim.backward(({ grad }) => {
      for (const name of names) grad(name);
      return undefined;
    });
    return optim;
  };
  const arenas = { plain: inArena({}), careful: inArena(careful) };

  const what = {
    nativeStep: "tf.train.adam, applyGradients",
    step: "step",
    carefulStep: "step, clipped and scaled",
    arena: "step in an arena",
    carefulArena: "step in an arena, clipped and scaled",
    nativeUpdate: "tf.train.adam, minimize",
    update: "updateParams",
    carefulUpdate: "updateParams, clipped and scaled",
  };
  const timings = await onDevice(
    adapter,
    [
      { name: what.nativeStep, flush, enqueue: () => native.optimizer.applyGradients(given) },
      { name: what.step, flush, enqueue: stepped.plain.step },
      { name: what.carefulStep, flush, enqueue: stepped.careful.step },
      { name: what.arena, enqueue: () => arenas.plain.step() },
      { name: what.carefulArena, enqueue: () => arenas.careful.step() },
      {
        name: what.nativeUpdate,
        flush,
        enqueue() {
          native.optimizer.minimize(nativeLoss, false, Object.values(native.variables));
        },
      },
      { name: what.update, flush, enqueue: updated.plain.updateParams },
      { name: what.carefulUpdate, flush, enqueue: updated.careful.updateParams },
    ],
    effort,
  );
  for (const { optim } of [stepped.plain, stepped.careful, updated.plain, updated.careful]) optim.dispose();
  for (const optim of Object.values(arenas)) optim.dispose();
  for (const buffer of new Set(Object.values(arena).map((binding) => binding.buffer))) buffer.destroy();
  native.optimizer.dispose();
  tf.dispose([...variables, gradient]);
  const goal = goals(adapter.name, label);
  // The table of adapters shows an arena where it is for: many small tensors.
  const many = tensors >= 1000;
  return {
    title: `Adam, ${label}, variables of tfjs-webgpu, ${adapter.name}`,
    about:
      "The step, given gradients, on tfjs variables and on as many tensors in one arena; and a whole update whose loss hands out gradients that are there already, so that what is left is the bookkeeping of tfjs, the copies into our accumulators, and the step. `tf.train.adam` neither clips nor scales.",
    timings,
    ratios: [
      { ...ratio(timings, what.nativeStep, what.step, goal.plain), ...(!many && { column: label }) },
      {
        ...ratio(timings, what.nativeStep, what.carefulStep, goal.careful),
        ...(!many && { column: `${label}, clipped and scaled` }),
      },
      {
        ...ratio(timings, what.nativeStep, what.arena, goal.arena),
        ...(many && { column: `${label} in an arena` }),
      },
      ratio(timings, what.nativeStep, what.carefulArena),
      ratio(timings, what.nativeUpdate, what.update),
      ratio(timings, what.nativeUpdate, what.carefulUpdate),
    ],
  };
}

type Goals = Readonly<Partial<Record<"plain" | "careful" | "arena", Ratio["goal"]>>>;

/** There are none for adapters that nobody has measured yet. */
function goals(adapter: string, size: string): Goals {
  const known = new Map<string, Goals>([
    ["SwiftShader 100 × 10k", { plain: { atLeast: 4 }, careful: { atLeast: 3 } }],
    ["lavapipe 100 × 10k", { plain: { atLeast: 7 }, careful: { atLeast: 7 } }],
    ["SwiftShader 4 × 1M", { plain: { atLeast: 4 } }],
    ["lavapipe 4 × 1M", { plain: { atLeast: 4 } }],
    ["SwiftShader 1,000 × 100", { arena: { atLeast: 30 } }],
    ["lavapipe 1,000 × 100", { arena: { atLeast: 30 } }],
  ]);
  return known.get(`${adapter} ${size}`) ?? {};
}
