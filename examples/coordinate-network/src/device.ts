import { existsSync, readdirSync } from "node:fs";
import { create } from "webgpu";

/** The message to a person where there is no adapter. */
export const noAdapter =
  "WebGPU finds no adapter on this machine. On Debian, `apt-get install chromium libvulkan1` brings one in software";

/** Where Linux keeps the Vulkan drivers that are installed; other systems bring what WebGPU runs on. */
const driverFolders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
/** Debian's Chromium has one in software, for itself. */
const softwareDriver = "/usr/lib/chromium/vk_swiftshader_icd.json";

export interface OpenDevice {
  readonly device: GPUDevice;
  readonly adapterName: string;
  /** Waits for work under way, and destroys the device: a process that ends in the middle of such work can crash. */
  close(): Promise<void>;
}

/** A device of the machine's own adapter; where there is none, of Chromium's in software; where there is neither, `undefined`. */
export async function openDevice(): Promise<OpenDevice | undefined> {
  process.env["XDG_RUNTIME_DIR"] ??= "/tmp"; // Vulkan's loader asks for one.
  const own = mayHaveAdapter() ? await requestAdapter() : undefined;
  const found = own ?? (await requestSoftwareAdapter());
  if (found === undefined) return undefined;
  const { gpu, adapter } = found;
  const device = await adapter.requestDevice();
  // WebGPU works as long as somebody holds this.
  const held = new Set([gpu]);
  return {
    device,
    adapterName: adapter.info.description,
    async close() {
      await device.queue.onSubmittedWorkDone();
      device.destroy();
      held.clear();
    },
  };
}

async function requestAdapter(): Promise<{ gpu: GPU; adapter: GPUAdapter } | undefined> {
  const gpu = create([]);
  const adapter = await gpu.requestAdapter();
  return adapter === null ? undefined : { gpu, adapter };
}

/** Asking where there is no driver only makes Dawn complain. */
const mayHaveAdapter = (): boolean =>
  process.platform !== "linux" ||
  process.env["VK_ICD_FILENAMES"] !== undefined ||
  driverFolders.some((folder) => existsSync(folder) && readdirSync(folder).length > 0);

async function requestSoftwareAdapter(): ReturnType<typeof requestAdapter> {
  if (!existsSync(softwareDriver)) return undefined;
  process.env["VK_ICD_FILENAMES"] = softwareDriver;
  return requestAdapter();
}
