import { repairWasmKernels } from "@mm-examples/tfjs-wasm-kernels";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import simd from "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url";
import threaded from "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url";
import plain from "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url";
import "@tensorflow/tfjs-backend-webgl";
import "@tensorflow/tfjs-backend-webgpu";
import * as tf from "@tensorflow/tfjs-core";
// tfjs-core alone has no gradients: this registers them.
import "@tensorflow/tfjs-core/dist/register_all_gradients.js";
import { type BackendChoice, type BackendName, type TfjsBackend, tfjsBackends } from "./choices.ts";

/** The backend of tfjs behind a choice. */
const tfjsBackend = (name: BackendName): TfjsBackend => name.replace("-plain", "") as TfjsBackend;

/** Whether the optimizers are tfjs's own. */
export const isPlain = (name: BackendName): boolean => name.endsWith("-plain");

/** The backends that can be chosen on this device. */
export async function prepareBackends(): Promise<readonly BackendChoice[]> {
  tf.enableProdMode();
  setWasmPaths({
    "tfjs-backend-wasm.wasm": plain,
    "tfjs-backend-wasm-simd.wasm": simd,
    "tfjs-backend-wasm-threaded-simd.wasm": threaded,
  });
  repairWasmKernels();
  const lacks = { wasm: undefined, webgl: whatWebglLacks(), webgpu: await whatWebgpuLacks() };
  return tfjsBackends.flatMap((backend) => {
    const missing = lacks[backend];
    return [
      { name: backend, label: `tfjs-${backend}, fused steps`, ...(missing && { missing }) },
      {
        name: `${backend}-plain` as const,
        label: `tfjs-${backend}, tf.train.adam`,
        ...(missing && { missing }),
      },
    ];
  });
}

export async function startBackend(name: BackendName): Promise<void> {
  const backend = tfjsBackend(name);
  if (!(await tf.setBackend(backend)))
    throw new Error(`TensorFlow.js could not start its ${backend} backend`);
  await tf.ready();
}

/** Second moments of Adam vanish in half floats, so textures have to hold whole ones. */
function whatWebglLacks(): string | undefined {
  const context = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (context === null) return "This browser has no WebGL 2 in workers";
  const drawsFloats = context.getExtension("EXT_color_buffer_float") !== null;
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return drawsFloats ? undefined : "WebGL draws no 32-bit floats on this device";
}

async function whatWebgpuLacks(): Promise<string | undefined> {
  if (!("gpu" in navigator)) return "This browser has no WebGPU";
  const adapter = await navigator.gpu.requestAdapter();
  return adapter === null ? "WebGPU finds no adapter on this device" : undefined;
}
