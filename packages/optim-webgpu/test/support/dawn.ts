// WebGPU in Node: Dawn on the software adapters of this machine.
import { create } from "webgpu";
import { hasDriver, vulkanDrivers } from "../../../../scripts/vulkan.mjs";

export interface TestAdapter {
  readonly name: string;
  /** Part of the name by which Dawn knows it; absent: the first that there is. */
  readonly dawnName?: string;
  readonly available: boolean;
}

/** The adapter of every suite: SwiftShader, or the driver that `VK_ICD_FILENAMES` names first. No shader-f16. */
export const defaultAdapter: TestAdapter = { name: "SwiftShader", available: true };

/** The one with shader-f16; not on every machine: `describe.skipIf(!lavapipe.available)`. */
export const lavapipe: TestAdapter = {
  name: "lavapipe",
  dawnName: "llvmpipe",
  available: hasDriver("lavapipe"),
};

// An instance lives as long as the process: without it Dawn stops in the middle of its work.
const instances: GPU[] = [];

/** A device with the default limits (8 storage buffers a stage), whatever more the adapter has. */
export async function requestDevice(
  { name, dawnName }: TestAdapter = defaultAdapter,
  descriptor: GPUDeviceDescriptor = {},
): Promise<GPUDevice> {
  process.env["VK_ICD_FILENAMES"] = vulkanDrivers();
  process.env["XDG_RUNTIME_DIR"] ??= "/tmp";
  const gpu = create(dawnName === undefined ? [] : [`adapter=${dawnName}`]);
  instances.push(gpu);
  // An adapter gives one device.
  const adapter = await gpu.requestAdapter();
  if (adapter === null) {
    throw Object.assign(new Error(`WebGPU found no adapter (${name})`), { code: "ERR_NO_ADAPTER" });
  }
  return adapter.requestDevice({ label: name, ...descriptor });
}
