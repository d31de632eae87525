// jax-js on Dawn in Node. It asks `navigator.gpu` for an adapter, and Node has neither that nor the constants of WebGPU.
import { defaultDevice, getWebGPUDevice, init } from "@jax-js/jax";
import { afterAll } from "vitest";
import { create, globals } from "webgpu";
import { vulkanDrivers } from "../../../../scripts/vulkan.mjs";

// An instance lives as long as the process: without it Dawn stops in the middle of its work.
const instances: GPU[] = [];

/** Brings jax-js to webgpu, which is its default device from then on. @returns its device */
export async function useWebgpu(): Promise<GPUDevice> {
  process.env["VK_ICD_FILENAMES"] = vulkanDrivers();
  process.env["XDG_RUNTIME_DIR"] ??= "/tmp";
  const gpu = create([]);
  instances.push(gpu);
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, "navigator", { value: { gpu, userAgent: "node" }, configurable: true });
  await init("webgpu");
  defaultDevice("webgpu");
  const device = getWebGPUDevice();
  const errors: string[] = [];
  device.addEventListener("uncapturederror", ({ error }) => errors.push(error.message));
  // Work that is still under way when a process ends can crash it.
  afterAll(async () => {
    await device.queue.onSubmittedWorkDone();
    device.destroy();
    await device.lost;
    if (errors.length > 0) throw new Error(`errors of the device: ${errors.join("\n")}`);
  });
  return device;
}
