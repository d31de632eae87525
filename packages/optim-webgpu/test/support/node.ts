// WebGPU in Node, for suites. One that runs on SwiftShader needs nothing but `openDevice()`: where there is no adapter, vitest.config.ts
// leaves these suites out and says so.
import { afterAll } from "vitest";
import { defaultAdapter, requestDevice, type TestAdapter } from "./dawn.ts";

export { defaultAdapter, lavapipe, type TestAdapter } from "./dawn.ts";

const opened: GPUDevice[] = [];
const errors: string[] = [];

/**
 * A device with the default limits (8 storage buffers a stage), whatever more the adapter has. It is destroyed after the last test of the
 * file that asked for it. An error that none of the tests caught with a scope of its own fails the file.
 */
export async function openDevice(
  adapter: TestAdapter = defaultAdapter,
  descriptor: GPUDeviceDescriptor = {},
): Promise<GPUDevice> {
  const device = await requestDevice(adapter, descriptor);
  device.addEventListener("uncapturederror", ({ error }) => errors.push(error.message));
  opened.push(device);
  return device;
}

// Work that is still under way when a process ends can crash it.
afterAll(async () => {
  for (const device of opened.splice(0)) {
    await device.queue.onSubmittedWorkDone();
    device.destroy();
    await device.lost;
  }
  if (errors.length > 0) throw new Error(`errors of the device: ${errors.join("\n")}`);
});
