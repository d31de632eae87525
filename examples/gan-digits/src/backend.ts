import { repairWasmKernels } from "@mm-examples/tfjs-wasm-kernels";
import * as tf from "@tensorflow/tfjs-core";
// tfjs-core alone has no gradients: this package registers them.
import "@tensorflow/tfjs-layers";
import "@tensorflow/tfjs-backend-cpu";
import { setThreadsCount } from "@tensorflow/tfjs-backend-wasm";
import { UsageError } from "./errors.ts";
import type { Backend } from "./settings.ts";

/** @returns what a process calls when it is done with it. @throws UsageError where there is no adapter for webgpu */
export async function startBackend(backend: Backend): Promise<() => Promise<void>> {
  tf.enableProdMode(); // without the advertisement of the cpu backend
  repairWasmKernels();
  setThreadsCount(1); // Node has no threads for it, whatever is asked.
  const stop = backend === "webgpu" ? await registerWebgpu() : () => Promise.resolve();
  if (!(await tf.setBackend(backend)))
    throw new Error(`TensorFlow.js could not start its ${backend} backend`);
  await tf.ready();
  return stop;
}

/** WebGPU in Node: a device of our own, since tfjs asks the browser for one. A program on another backend need not load it. */
async function registerWebgpu(): Promise<() => Promise<void>> {
  const { noAdapter, openDevice } = await import("@mm-examples/coordinate-network/device");
  const opened = await openDevice();
  if (opened === undefined) throw new UsageError(noAdapter);
  const { device, close } = opened;
  const { globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: { gpu: {} } });
  const { WebGPUBackend } = await import("@tensorflow/tfjs-backend-webgpu");
  tf.removeBackend("webgpu");
  tf.registerBackend("webgpu", () => new WebGPUBackend(device, device.adapterInfo));
  return close;
}
