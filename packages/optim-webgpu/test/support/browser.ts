import { afterAll } from "vitest";

const opened: GPUDevice[] = [];
const errors: string[] = [];

/** The browser's device with the default limits, as `openDevice` of node.ts makes one. */
export async function openDevice(descriptor: GPUDeviceDescriptor = {}): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (adapter === null) throw new Error("WebGPU found no adapter in this browser");
  const device = await adapter.requestDevice(descriptor);
  device.addEventListener("uncapturederror", ({ error }) => errors.push(error.message));
  opened.push(device);
  return device;
}

afterAll(async () => {
  for (const device of opened.splice(0)) {
    await device.queue.onSubmittedWorkDone();
    device.destroy();
  }
  if (errors.length > 0) throw new Error(`errors of the device: ${errors.join("\n")}`);
});
