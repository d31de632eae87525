// WebGPU in Node: Dawn on the software adapters of this machine. A suite that runs on SwiftShader needs nothing but `openDevice()`:
// where there is no adapter, vitest.config.ts leaves these suites out and says so.
import { afterAll } from "vitest";
import { create } from "webgpu";
import { hasDriver, vulkanDrivers } from "../../../../scripts/vulkan.mjs";

export interface TestAdapter {
  readonly name: string;
  /** Part of the name by which Dawn knows it; absent: the first that there is. */
  readonly dawnName?: string;
  readonly available: boolean;
}

/** What every suite runs on: SwiftShader, or the driver that `VK_ICD_FILENAMES` names first. No shader-f16. */
export const defaultAdapter: TestAdapter = { name: "SwiftShader", available: true };

/** The one with shader-f16; not on every machine: `describe.skipIf(!lavapipe.available)`. */
export const lavapipe: TestAdapter = {
  name: "lavapipe",
  dawnName: "llvmpipe",
  available: hasDriver("lavapipe"),
};

const opened: GPUDevice[] = [];
const errors: string[] = [];
// An instance lives as long as this file's tests: without it Dawn stops in the middle of its work.
const instances: GPU[] = [];

/**
 * A device with the default limits (8 storage buffers a stage), whatever more the adapter has. It is destroyed after the last test of the
 * file that asked for it. An error that none of the tests caught with a scope of its own fails the file.
 */
export async function openDevice(
  { name, dawnName }: TestAdapter = defaultAdapter,
  descriptor: GPUDeviceDescriptor = {},
): Promise<GPUDevice> {
  process.env["VK_ICD_FILENAMES"] = vulkanDrivers();
  process.env["XDG_RUNTIME_DIR"] ??= "/tmp";
  const gpu = create(dawnName === undefined ? [] : [`adapter=${dawnName}`]);
  instances.push(gpu);
  // An adapter gives one device.
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error(`WebGPU found no adapter (${name})`);
  const device = await adapter.requestDevice({ label: name, ...descriptor });
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
  instances.length = 0;
  if (errors.length > 0) throw new Error(`errors of the device: ${errors.join("\n")}`);
});
