// Which Vulkan drivers in software this machine has for WebGPU in Node: descriptions that the loader reads (ICD).
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./workspace.mjs";

/** @type {Readonly<Record<"swiftshader" | "lavapipe", string>>} where each is, if it is there */
const places = {
  // Debian's Chromium brings it.
  swiftshader: "/usr/lib/chromium/vk_swiftshader_icd.json",
  // Fetched by scripts/lavapipe.sh. The only one with shader-f16.
  lavapipe: join(root, "node_modules", ".cache", "lavapipe", "icd.json"),
};

/** @param {"swiftshader" | "lavapipe"} name */
export const hasDriver = (name) => existsSync(places[name]);

/**
 * The value of `VK_ICD_FILENAMES` before Dawn starts: its own value where it has one, or the drivers that are there. "" where Dawn
 * finds an adapter without being told, and where nothing can be told.
 */
export const vulkanDrivers = () =>
  process.env["VK_ICD_FILENAMES"] ??
  Object.values(places)
    .filter((file) => existsSync(file))
    .join(":");

/** Whether WebGPU has something to run on: Metal and Direct3D need no driver of ours. */
export const hasWebGpu = () => process.platform !== "linux" || vulkanDrivers() !== "";
