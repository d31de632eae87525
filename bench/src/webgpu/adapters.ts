import { create, globals } from "webgpu";

/** An adapter with its one device. */
export interface Adapter {
  /** `"SwiftShader"`, `"lavapipe"`, or as its driver calls it. */
  readonly name: string;
  readonly info: GPUAdapterInfo;
  readonly device: GPUDevice;
  /** Whether compute passes can be timed on the device. */
  readonly hasTimestamps: boolean;
  /** Waits for its work, and lets go of it. */
  close(): Promise<void>;
}

interface Drivers {
  hasDriver(name: "swiftshader" | "lavapipe"): boolean;
  vulkanDrivers(): string;
}

/** Opens, one by one, the adapters in software that this machine has: they compute on the processor. */
export async function softwareAdapters(): Promise<readonly (() => Promise<Adapter>)[]> {
  const script = new URL("../../../scripts/vulkan.mjs", import.meta.url);
  const { hasDriver, vulkanDrivers } = (await import(script.href)) as Drivers;
  process.env["VK_ICD_FILENAMES"] = vulkanDrivers();
  const known = [
    { driver: "swiftshader", name: "SwiftShader", dawnName: "SwiftShader" },
    { driver: "lavapipe", name: "lavapipe", dawnName: "llvmpipe" },
  ] as const;
  return known
    .filter(({ driver }) => hasDriver(driver))
    .map(({ name, dawnName }) => async () => {
      const adapter = await openAdapter(name, dawnName);
      if (adapter === undefined) throw new Error(`${name} is there, but WebGPU does not find it`);
      return adapter;
    });
}

/** The adapter that WebGPU prefers on this machine, if it finds any. */
export const ownAdapter = (): Promise<Adapter | undefined> => openAdapter();

async function openAdapter(name?: string, dawnName?: string): Promise<Adapter | undefined> {
  process.env["XDG_RUNTIME_DIR"] ??= "/tmp"; // Vulkan's loader asks for one.
  Object.assign(globalThis, globals); // tfjs's backend looks for them there.
  // Timestamps are rounded to 0.1 ms otherwise.
  const options = ["disable-dawn-features=timestamp_quantization"];
  if (dawnName !== undefined) options.push(`adapter=${dawnName}`);
  const gpu = create(options);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) return undefined;
  const { info } = adapter;
  const hasTimestamps = adapter.features.has("timestamp-query");
  const device = await adapter.requestDevice({ requiredFeatures: hasTimestamps ? ["timestamp-query"] : [] });
  // WebGPU works as long as somebody holds this.
  const held = new Set([gpu]);
  return {
    name: name ?? (info.description || `${info.vendor} ${info.architecture}`),
    info,
    device,
    hasTimestamps,
    async close() {
      await device.queue.onSubmittedWorkDone();
      device.destroy();
      held.clear();
    },
  };
}
