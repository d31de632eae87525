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
import type { TfjsBackend } from "./choices.ts";

export interface Device {
  /** Why a backend cannot be chosen here; absent when it can. */
  readonly lacks: { readonly [B in TfjsBackend]?: string | undefined };
  /** Whether WebGPU has an adapter that is no processor in disguise. */
  readonly hasGpu: boolean;
}

/** Makes the backends of tfjs ready to be started, and looks at what this device has for them. */
export async function prepareTfjs(): Promise<Device> {
  tf.enableProdMode();
  setWasmPaths({
    "tfjs-backend-wasm.wasm": plain,
    "tfjs-backend-wasm-simd.wasm": simd,
    "tfjs-backend-wasm-threaded-simd.wasm": threaded,
  });
  repairWasmKernels();
  const adapter = "gpu" in navigator ? await navigator.gpu.requestAdapter() : undefined;
  return {
    lacks: { webgl: whatWebglLacks(), webgpu: whatWebgpuLacks(adapter) },
    hasGpu: Boolean(adapter) && !isSoftware(adapter?.info),
  };
}

export async function startTfjs(backend: TfjsBackend): Promise<void> {
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

function whatWebgpuLacks(adapter: GPUAdapter | null | undefined): string | undefined {
  if (adapter === undefined) return "This browser has no WebGPU";
  return adapter === null ? "WebGPU finds no adapter on this device" : undefined;
}

/** Not every browser says so by `isFallbackAdapter`. */
const isSoftware = (info?: GPUAdapterInfo & { readonly isFallbackAdapter?: boolean }): boolean =>
  info?.isFallbackAdapter === true ||
  /swiftshader|llvmpipe|lavapipe|basic render/i.test(
    `${info?.architecture} ${info?.device} ${info?.description}`,
  );
