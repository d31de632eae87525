import { repairWasmKernels } from "@mm-examples/tfjs-wasm-kernels";
import { tfjsOptimizer as onHeap } from "@mm/optim-tfjs";
import { tfjsOptimizer as onGpu } from "@mm/optim-webgpu/tfjs";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import simd from "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url";
import threaded from "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url";
import plain from "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url";
import "@tensorflow/tfjs-backend-webgpu";
import * as tf from "@tensorflow/tfjs-core";
// tfjs-core alone has no gradients: this registers them.
import "@tensorflow/tfjs-core/dist/register_all_gradients.js";
import type { BackendChoice, BackendName } from "./choices.ts";

/** The two backends of tfjs that are offered, each with our optimizers and, for comparison, with tfjs's own. */
const tfjsBackends = {
  wasm: { label: "tfjs-wasm, fused steps", plain: "tfjs-wasm, tf.train.adam", tfjsOptimizer: onHeap },
  webgpu: {
    label: "tfjs-webgpu, fused steps",
    plain: "tfjs-webgpu, tf.train.adam",
    tfjsOptimizer: onGpu,
  },
} as const;

type TfjsBackend = keyof typeof tfjsBackends;

/** The backend of tfjs behind a choice. */
const tfjsBackend = (name: BackendName): TfjsBackend => (name.startsWith("webgpu") ? "webgpu" : "wasm");

/** Whether the optimizers are tfjs's own. */
export const isPlain = (name: BackendName): boolean => name.endsWith("-plain");

export const optimizerOf = (name: BackendName): typeof onHeap =>
  tfjsBackends[tfjsBackend(name)].tfjsOptimizer;

/** What can be chosen on this device. */
export async function prepareBackends(): Promise<readonly BackendChoice[]> {
  tf.enableProdMode();
  setWasmPaths({
    "tfjs-backend-wasm.wasm": plain,
    "tfjs-backend-wasm-simd.wasm": simd,
    "tfjs-backend-wasm-threaded-simd.wasm": threaded,
  });
  repairWasmKernels();
  const missing = await whatWebgpuLacks();
  return (["wasm", "webgpu"] as const).flatMap((backend) => {
    const { label, plain: plainLabel } = tfjsBackends[backend];
    const lacks = backend === "webgpu" && missing !== undefined && { missing };
    return [
      { name: backend, label, ...lacks },
      { name: `${backend}-plain` as const, label: plainLabel, ...lacks },
    ];
  });
}

export async function startBackend(name: BackendName): Promise<void> {
  const backend = tfjsBackend(name);
  if (!(await tf.setBackend(backend)))
    throw new Error(`TensorFlow.js could not start its ${backend} backend`);
  await tf.ready();
}

async function whatWebgpuLacks(): Promise<string | undefined> {
  if (!("gpu" in navigator)) return "This browser has no WebGPU";
  const adapter = await navigator.gpu.requestAdapter();
  return adapter === null ? "WebGPU finds no adapter on this device" : undefined;
}
