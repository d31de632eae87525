// tfjs-backend-webgpu in Node, on Dawn.
import "@tensorflow/tfjs-layers";
import * as tf from "@tensorflow/tfjs-core";
import { globals } from "webgpu";
import { openDevice } from "./node.ts";

/** Makes tfjs-backend-webgpu, on a new device, the active backend. Tensors of the one before are gone. */
export async function useTfjs(): Promise<GPUDevice> {
  const device = await openDevice();
  // It expects to find this in a browser.
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: { gpu: {} } });
  const { WebGPUBackend } = await import("@tensorflow/tfjs-backend-webgpu");
  tf.removeBackend("webgpu");
  tf.registerBackend("webgpu", () => new WebGPUBackend(device, {} as GPUAdapterInfo));
  await tf.setBackend("webgpu");
  return device;
}
